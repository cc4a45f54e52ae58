package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

const standalone = "manifests/examples/standalone/"

// The kubelet of the test cluster brings a new version within 4 s; Envoy takes it at once.
const delay = 10 * time.Second

// Envoy and its routes from ConfigMaps, by the commands of the README: no controller is there.
func TestRoutesFromAConfigMap(t *testing.T) {
	clear(t, "gateway", "foo-ns", "bar-ns")
	t.Cleanup(func() { clear(t, "gateway", "foo-ns", "bar-ns") })
	uninstall(t)
	kubectl(t, "apply", "-f", guide+"foo.yaml", "-f", guide+"bar.yaml", "-f", guide+"cluster/backends.yaml")
	walk := begin(t, standalone+"README.md")

	address := expect(t, walk.next(t, "Start"), `(?m)^gateway +LoadBalancer +\S+ +([0-9.]+) `)[1]
	all := site{net.JoinHostPort(address, "80")}
	eventually(t, 60*time.Second, func() error { return all.serves("foo.example.com/foo", "canary", "foo-v2") })
	eventually(t, 60*time.Second, func() error { return all.serves("bar.example.com/bar", "", "bar") })

	// There and back, in each of the pods.
	text, err := os.ReadFile(standalone + "routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	original := string(text)
	changed := replace(t, original, `"value": "/bar"`, `"value": "/baz"`)
	for range 3 {
		for _, change := range []struct{ path, routes string }{{"/baz", changed}, {"/bar", original}} {
			applyRoutes(t, change.routes)
			t.Logf("a change of the routes was in effect after %v", untilEach(t, envoys(t), func(pod site) error {
				return pod.serves("bar.example.com"+change.path, "", "bar")
			}))
		}
	}

	// What the filter refuses changes nothing.
	applyRoutes(t, replace(t, original, `"version": 1`, `"version": 99`))
	eventually(t, delay, func() error {
		log := kubectl(t, "-n", "gateway", "logs", "-l", "app=gateway", "--tail=20")
		if strings.Count(log, "config update rejected") < 2 {
			return fmt.Errorf("not refused by both: %s", log)
		}
		return nil
	})
	for _, pod := range envoys(t) {
		if err := pod.serves("foo.example.com/foo", "canary", "foo-v2"); err != nil {
			t.Error(err)
		}
	}

	printed := walk.next(t, "Change the routes")
	expect(t, printed, `"config": ?"[0-9a-f]{64}"`)
	expect(t, printed, `(?m)^.*\bversion\b.*\b99\b.*$`)

	applyRoutes(t, original)
	walk.next(t, "A new version of the filter")
	eventually(t, 20*time.Second, func() error { return all.serves("foo.example.com/foo", "canary", "foo-v2") })
	walk.end(t)
}

func applyRoutes(t *testing.T, manifest string) {
	t.Helper()
	if _, err := rig.Kubectl(manifest, "-n", "gateway", "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// untilEach asks all pods until each has said yes, and returns how long each took for it.
func untilEach(t *testing.T, pods []site, ask func(site) error) []time.Duration {
	t.Helper()
	began := time.Now()
	took := make([]time.Duration, len(pods))
	eventually(t, delay, func() error {
		var last error
		for i, pod := range pods {
			if took[i] > 0 {
				continue
			}
			if err := ask(pod); err != nil {
				last = err
			} else {
				took[i] = time.Since(began).Round(time.Millisecond)
			}
		}
		return last
	})
	return took
}

func replace(t *testing.T, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("no %s in %s", old, text)
	}
	return strings.ReplaceAll(text, old, new)
}

// envoys are the pods, each for itself.
func envoys(t *testing.T) (pods []site) {
	t.Helper()
	for address := range strings.FieldsSeq(kubectl(t, "-n", "gateway", "get", "pods", "-l", "app=gateway",
		"-o", "jsonpath={.items[*].status.podIP}")) {
		pods = append(pods, site{net.JoinHostPort(address, "8080")})
	}
	if len(pods) != 2 {
		t.Fatalf("%d pods, expected 2", len(pods))
	}
	return pods
}
