// Package e2e is what a cluster's owner does with gatewasm, step by step with kubectl on a real cluster. It runs inside
// the test cluster, from the root of the repository, where run.sh has put images and the kinds of the Gateway API.
package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

func kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := rig.Kubectl("", arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// eventually asks again and again until there is no error, and returns how long that took.
func eventually(t *testing.T, limit time.Duration, ask func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := ask()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// uninstall takes gatewasm out of the cluster, however it was changed.
func uninstall(t *testing.T) {
	t.Helper()
	kubectl(t, "delete", "--ignore-not-found", "--timeout=120s", "-f", "manifests/install.yaml")
}

// install puts gatewasm into the cluster, as a user would.
func install(t *testing.T) {
	t.Helper()
	kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", "manifests/install.yaml")
	kubectl(t, "-n", "gatewasm-system", "rollout", "status", "deployment/gatewasm-controller", "--timeout=120s")
	kubectl(t, "wait", "--for=condition=Accepted", "gatewayclass/gatewasm", "--timeout=60s")
}

// clear deletes namespaces with all that is in them, and waits until they are gone.
func clear(t *testing.T, namespaces ...string) {
	t.Helper()
	kubectl(t, append([]string{"delete", "namespace", "--ignore-not-found", "--timeout=180s"}, namespaces...)...)
}

func TestMain(m *testing.M) {
	if _, err := os.Stat("manifests/install.yaml"); err != nil {
		fmt.Println("to be run from the root of the repository:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
