package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gatewasm/tests/live/load"
	"gatewasm/tests/live/rig"
)

const (
	image     = "gatewasm/gatewasm:0.1.0"
	nextImage = "gatewasm/gatewasm:next"
)

// Whatever is done to a data plane and to the controller, no request notices.
func TestNoRequestFails(t *testing.T) {
	install(t)
	clear(t, "foo-ns", "bar-ns", "infra")
	t.Cleanup(func() {
		clear(t, "foo-ns", "bar-ns", "infra")
		// Its controller is of another version now.
		uninstall(t)
	})
	kubectl(t, "apply", "--server-side", "-f", guide+"gateway.yaml")
	kubectl(t, "apply", "-f", guide+"foo.yaml", "-f", guide+"bar.yaml", "-f", guide+"cluster/backends.yaml")
	kubectl(t, "-n", "foo-ns", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=60s")
	kubectl(t, "-n", "infra", "wait", "--for=condition=Programmed", "gateway/web", "--timeout=120s")
	address := kubectl(t, "-n", "infra", "get", "gateway", "web", "-o", "jsonpath={.status.addresses[0].value}")
	web := site{address: net.JoinHostPort(address, "80")}
	eventually(t, 20*time.Second, func() error { return web.serves("foo.example.com/foo", "", "foo-v1") })

	// Each under load of its own, so that it is known what made a request fail.
	step := func(name string, replicas int, do func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			settled(t, 0)
			requests := load.Start(web.address, "http://foo.example.com/foo", "http://foo.example.com/foo?delay=6s")
			time.Sleep(time.Second)
			began := time.Now()
			do(t)
			settled(t, replicas)
			took := time.Since(began)
			time.Sleep(2 * time.Second)
			result := requests.Stop()
			t.Logf("settled after %s; %s", took.Round(time.Second/10), result)
			if len(result.Failures) > 0 {
				t.Errorf("%d requests failed", len(result.Failures))
			}
			if rate := float64(result.Sent) / result.Took.Seconds(); rate < 0.9*load.Rate {
				t.Errorf("only %.0f requests a second were sent", rate)
			}
		})
	}
	scale := func(replicas int) func(*testing.T) {
		return func(t *testing.T) {
			kubectl(t, "-n", "infra", "scale", dataPlane, fmt.Sprintf("--replicas=%d", replicas))
		}
	}
	restart := func(t *testing.T) { kubectl(t, "-n", "infra", "rollout", "restart", dataPlane) }

	step("a restart of one pod", 1, restart)
	step("from one pod to three", 3, scale(3))
	step("a restart of three pods", 3, restart)
	step("one of three pods is deleted", 3, func(t *testing.T) {
		pods := strings.Fields(kubectl(t, "-n", "infra", "get", "pods", "-o", "name"))
		kubectl(t, "-n", "infra", "delete", pods[0])
	})
	step("from three pods to one", 1, scale(1))
	step("the controller is deleted, and installed again", 1, func(t *testing.T) {
		kubectl(t, "-n", "gatewasm-system", "delete", "deployment", "gatewasm-controller")
		time.Sleep(3 * time.Second)
		install(t)
	})
	step("another version", 1, func(t *testing.T) {
		if _, err := rig.Run("", "ctr", "images", "tag", "--force", "docker.io/"+image, "docker.io/"+nextImage); err != nil {
			t.Fatal(err)
		}
		upgrade := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"controller","image":%q,"args":["controller","--image",%q]}]}}}}`,
			nextImage, nextImage)
		kubectl(t, "-n", "gatewasm-system", "patch", "deployment", "gatewasm-controller", "-p", upgrade)
		eventually(t, 90*time.Second, func() error {
			images := kubectl(t, "-n", "infra", "get", dataPlane, "-o", "jsonpath={.spec.template.spec.initContainers[*].image}")
			if images != nextImage+" "+nextImage {
				return fmt.Errorf("the data plane's images are %s", images)
			}
			return nil
		})
	})
}

const dataPlane = "deployment/gatewasm-web"

// settled waits until the rollout is over and every pod that has to end is gone; there are so many then, if that is known.
func settled(t *testing.T, replicas int) {
	t.Helper()
	kubectl(t, "-n", "infra", "rollout", "status", dataPlane, "--timeout=180s")
	eventually(t, 150*time.Second, func() error {
		wanted := kubectl(t, "-n", "infra", "get", dataPlane, "-o", "jsonpath={.spec.replicas}")
		pods := strings.Fields(kubectl(t, "-n", "infra", "get", "pods", "-o", "name"))
		if fmt.Sprint(len(pods)) != wanted || replicas > 0 && len(pods) != replicas {
			time.Sleep(300 * time.Millisecond)
			return fmt.Errorf("%d pods of %s: %v", len(pods), wanted, pods)
		}
		return nil
	})
}
