// Package smoke tests the test cluster itself: that it is a Kubernetes as far as the project's tests rely on it. It runs
// inside, with kubectl on the PATH, and knows nothing of gatewasm. manifests.yaml is what it applies.
package smoke

import (
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

//go:embed manifests.yaml
var manifests string

const namespace = "smoke"

// try runs kubectl in the namespace.
func try(input string, arguments ...string) (string, error) {
	command := exec.Command("kubectl", append([]string{"--namespace", namespace}, arguments...)...)
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, output)
	}
	return strings.TrimSpace(string(output)), err
}

func kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := try("", arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func apply(t *testing.T, manifest string) {
	t.Helper()
	if output, err := try(manifest, "apply", "-f", "-"); err != nil {
		t.Fatal(output, err)
	}
}

// eventually asks again and again until there is no error.
func eventually(t *testing.T, limit time.Duration, ask func() error) {
	t.Helper()
	began := time.Now()
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// get expects a text in the answer of a URL.
func get(url, expected string) error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), expected) {
		return fmt.Errorf("%s: %s without %q: %s", url, response.Status, expected, body)
	}
	return nil
}

// field expects a value of an object.
func field(object, path, expected string) error {
	value, err := try("", "get", object, "-o", "jsonpath={"+path+"}")
	if err == nil && value != expected {
		err = fmt.Errorf("%s: %s is %q, expected %q", object, path, value, expected)
	}
	return err
}

func value(t *testing.T, object, path string) string {
	t.Helper()
	return kubectl(t, "get", object, "-o", "jsonpath={"+path+"}")
}

func TestMain(m *testing.M) {
	if _, err := try("", "delete", "namespace", namespace, "--ignore-not-found"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if _, err := try(manifests, "apply", "-f", "-"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	if _, err := try("", "delete", "namespace", namespace, "--timeout=60s"); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}
