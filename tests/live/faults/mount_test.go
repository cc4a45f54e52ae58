package faults

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gatewasm/tests/live/rig"
)

// Without a right and without a token, pods follow what the kubelet mounts.
func TestPodsWithoutAccessFollowWhatIsMounted(t *testing.T) {
	ctx := t.Context()
	check := undisturbed(t)
	traffic(t)
	t.Cleanup(func() { source(t, "watch") })
	source(t, "mount")
	check()

	pod, err := cluster.Pod(ctx)
	must(t, err)
	agent, err := pod.Agent()
	must(t, err)
	if _, err := os.Stat(agent.Path("/var/run/secrets/kubernetes.io")); !os.IsNotExist(err) {
		t.Errorf("the agent has a token: %v", err)
	}
	if _, err := os.Stat(agent.Path("/etc/gatewasm/bundle/manifest.json")); err != nil {
		t.Errorf("the agent has no bundle, or this test looks in the wrong place: %v", err)
	}
	for _, kind := range []string{"role", "rolebinding"} {
		if _, err := rig.Kubectl("", "-n", rig.Namespace, "get", kind, rig.DataPlaneName(rig.GatewayName)); err == nil {
			t.Errorf("the agent has a %s", kind)
		}
	}
	var delays []time.Duration
	for i := range pick(10, 3) {
		version := fmt.Sprintf("mounted-%d", i)
		must(t, cluster.Merge(ctx, rig.Routes, "good", goodRules(t, version)))
		delays = append(delays, eventually(t, 3*time.Minute, func() error {
			answer, err := cluster.Get(goodHost, "/")
			if err == nil && answer.Version != version {
				err = fmt.Errorf("version %q is served, not %q", answer.Version, version)
			}
			return err
		}))
	}
	slices.Sort(delays)
	t.Logf("a change is served after %s to %s, in the median %s", delays[0], delays[len(delays)-1], delays[len(delays)/2])
	must(t, cluster.Merge(ctx, rig.Routes, "good", goodRules(t, "of-good")))
	check()
}

// goodRules is a patch of the good route.
func goodRules(t *testing.T, version string) string {
	t.Helper()
	return patch(t, "spec", map[string]any{"rules": []any{rig.Rule("/", "b", version)}})
}

// source gives the controller another setting, waits until pods with it have taken over.
func source(t *testing.T, source string) {
	t.Helper()
	arguments := fmt.Sprintf(`{"spec": {"template": {"spec": {"containers": [{"name": "controller", "args": ["controller", "--source", %q]}]}}}}`, source)
	kubectl(t, "", "-n", rig.System, "patch", "deployment", rig.Controller, "-p", arguments)
	kubectl(t, "", "-n", rig.System, "rollout", "status", "deployment/"+rig.Controller, "--timeout=120s")
	name := rig.DataPlaneName(rig.GatewayName)
	err := rig.Eventually(context.Background(), time.Minute, func() error {
		deployment, err := cluster.Object(context.Background(), rig.Deployments, name)
		if err != nil {
			return err
		}
		containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "initContainers")
		agent := containers[len(containers)-1].(map[string]any)
		if arguments := agent["args"].([]any); !slices.Contains(arguments, any(source)) {
			return fmt.Errorf("the agent is started with %v", arguments)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	kubectl(t, "", "-n", rig.Namespace, "rollout", "status", "deployment/"+name, "--timeout=180s")
}
