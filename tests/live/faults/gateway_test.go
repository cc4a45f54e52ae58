package faults

import (
	"fmt"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

// gateway makes one more Gateway with these listeners, waits until it has an address, and deletes it at the test's end.
func gateway(t *testing.T, name string, listeners ...any) *rig.Cluster {
	t.Helper()
	must(t, cluster.Create(t.Context(), rig.Gateways, map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
		"metadata": map[string]any{"name": name, "namespace": rig.Namespace},
		"spec":     map[string]any{"gatewayClassName": "gatewasm", "listeners": listeners},
	}))
	t.Cleanup(func() {
		if _, err := rig.Kubectl("", "-n", rig.Namespace, "delete", "gateway", name, "--timeout=60s"); err != nil {
			t.Error(err)
		}
	})
	its, err := cluster.Of(t.Context(), name)
	must(t, err)
	return its
}

// listener is one for HTTP.
func listener(name string, port int64) map[string]any {
	return map[string]any{"name": name, "port": port, "protocol": "HTTP"}
}

// route makes a route of the backend "b" at a Gateway's listener "http", on the host NAME.example.
func route(t *testing.T, gateway *rig.Cluster, name string) {
	t.Helper()
	its := rig.Route{Name: name, Host: name + ".example", Path: "/", Backend: "b", Gateway: gateway.Gateway}
	must(t, gateway.Create(t.Context(), rig.Routes, its.Object()))
	t.Cleanup(func() {
		if _, err := rig.Kubectl("", "-n", rig.Namespace, "delete", "httproute", name, "--timeout=60s"); err != nil {
			t.Error(err)
		}
	})
}

// programmed waits until a Gateway's condition is as it is meant to be.
func programmed(t *testing.T, gateway *rig.Cluster, limit time.Duration, is func(rig.Condition) bool) rig.Condition {
	t.Helper()
	var condition rig.Condition
	eventually(t, limit, func() (err error) {
		condition, err = gateway.Condition(t.Context(), rig.Gateways, gateway.Gateway, "Programmed")
		if err == nil && !is(condition) {
			err = fmt.Errorf("Gateway %s: %s", gateway.Gateway, condition)
		}
		return err
	})
	return condition
}

func yes(condition rig.Condition) bool { return condition.Status == "True" }
