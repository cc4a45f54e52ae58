package faults

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gatewasm/tests/live/rig"
)

// A kind that the cluster does not have is a feature that the class does not claim, and comes back with its CRD.
func TestKindsComeAndGo(t *testing.T) {
	const kind, feature = "grpcroutes.gateway.networking.k8s.io", "GRPCRoute"
	ctx, cluster := t.Context(), cluster
	everywhere := cluster.In("")
	call := map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute",
		"metadata": map[string]any{"name": "call", "namespace": rig.Namespace},
		"spec": map[string]any{
			"parentRefs": []any{map[string]any{"name": rig.GatewayName, "sectionName": "http"}},
			"hostnames":  []any{"call.example"},
			"rules":      []any{map[string]any{"backendRefs": []any{map[string]any{"name": "b", "port": 80}}}},
		},
	}
	without := undisturbed(t)
	must(t, cluster.Create(ctx, rig.GRPCRoutes, call))
	accepted(t, "call")
	settled(t, cluster)
	found, err := everywhere.Object(ctx, rig.CRDs, kind)
	must(t, err)
	crd := map[string]any{
		"apiVersion": found.GetAPIVersion(), "kind": found.GetKind(), "spec": found.Object["spec"],
		"metadata": map[string]any{"name": kind, "annotations": found.Object["metadata"].(map[string]any)["annotations"]},
	}
	controllers := processes(t)
	traffic(t)

	must(t, everywhere.Delete(ctx, rig.CRDs, kind))
	// Whatever happens, the next test finds it.
	t.Cleanup(func() { _ = everywhere.Create(context.Background(), rig.CRDs, crd) })
	took := eventually(t, time.Minute, func() error { return claims(t, feature, false) })
	t.Logf("the CRD is deleted: the class does not claim the feature after %s", took.Round(time.Millisecond))
	without()
	storm(t, func() {})
	without = undisturbed(t)

	eventually(t, time.Minute, func() error { return everywhere.Create(ctx, rig.CRDs, crd) })
	took = eventually(t, time.Minute, func() error { return claims(t, feature, true) })
	t.Logf("the CRD is there: the class claims the feature after %s", took.Round(time.Millisecond))
	without()
	eventually(t, time.Minute, func() error { return cluster.Create(ctx, rig.GRPCRoutes, call) })
	// Made again, it is another route: younger than the first.
	accepted(t, "call")
	if now := processes(t); !slices.Equal(now, controllers) {
		t.Errorf("the controller was started again: %v, before %v", now, controllers)
	}
	must(t, cluster.Delete(ctx, rig.GRPCRoutes, "call"))
	without()
}

func accepted(t *testing.T, route string) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		condition, err := cluster.Condition(t.Context(), rig.GRPCRoutes, route, "Accepted")
		if err == nil && condition.Status != "True" {
			err = fmt.Errorf("%s", condition)
		}
		return err
	})
}

// claims is an error where the class does not say of a feature that it is supported, or that it is not.
func claims(t *testing.T, feature string, supported bool) error {
	class, err := cluster.In("").Object(t.Context(), rig.Classes, "gatewasm")
	if err != nil {
		return err
	}
	features, _, _ := unstructured.NestedSlice(class.Object, "status", "supportedFeatures")
	is := func(of any) bool { return of.(map[string]any)["name"] == feature }
	if len(features) == 0 || slices.ContainsFunc(features, is) != supported {
		return fmt.Errorf("the class claims %v", features)
	}
	return nil
}

// processes are the controller's containers, once all its replicas are there.
func processes(t *testing.T) (names []string) {
	t.Helper()
	kubectl(t, "", "-n", rig.System, "rollout", "status", "deployment/gatewasm-controller", "--timeout=60s")
	pods, err := cluster.In(rig.System).List(t.Context(), rig.Pods, "app.kubernetes.io/component=controller")
	must(t, err)
	for _, pod := range pods {
		statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
		for _, status := range statuses {
			names = append(names, fmt.Sprint(pod.GetName(), " ", status.(map[string]any)["containerID"]))
		}
	}
	slices.Sort(names)
	return names
}
