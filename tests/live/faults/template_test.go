package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

// What Envoy serves comes by the bundle: no change of it replaces a pod.
func TestNothingThatIsServedChangesThePodTemplate(t *testing.T) {
	ctx := t.Context()
	its := gateway(t, "template", listener("http", 80))
	programmed(t, its, time.Minute, yes)
	template := func() string {
		deployment, err := its.Object(ctx, rig.Deployments, rig.DataPlaneName(its.Gateway))
		must(t, err)
		spec, err := json.Marshal(deployment.Object["spec"])
		must(t, err)
		pod, err := its.Pod(ctx)
		must(t, err)
		return fmt.Sprintf("generation %d, pod %s, %s", deployment.GetGeneration(), pod.Name, spec)
	}
	before := template()
	parts := settled(t, its).Parts
	unchanged := func(what string) {
		t.Helper()
		now := settled(t, its).Parts
		if maps.Equal(now, parts) {
			t.Errorf("%s: the bundle is not another one, so nothing was tried", what)
		}
		parts = now
		if now := template(); now != before {
			t.Errorf("%s: the Deployment is %s, before %s", what, now, before)
		}
	}

	route(t, its, "one")
	published(t, "one")
	unchanged("a route")

	authority, err := rig.NewAuthority()
	must(t, err)
	data, err := authority.Issue("secure.example", 1)
	must(t, err)
	must(t, its.Create(ctx, rig.Secrets, secret("template", data)))
	t.Cleanup(func() { _ = cluster.Delete(context.Background(), rig.Secrets, "template") })
	secure := map[string]any{
		"name": "https", "port": 8443, "protocol": "HTTPS",
		"tls": map[string]any{"certificateRefs": []any{map[string]any{"name": "template"}}},
	}
	listen(t, its, listener("http", 80), listener("another", 8081), secure)
	unchanged("ports, a listener, a certificate")
	listen(t, its, listener("http", 80), listener("another", 8082))
	unchanged("another port, no certificate")

	if len(parts) > 5 {
		t.Fatalf("the bundle has %d parts already", len(parts))
	}
	const many = 200
	routes := rig.Numbered("shard", 0, many, rig.To("a"))
	for i := range routes {
		routes[i].Gateway = its.Gateway
	}
	_, err = its.CreateRoutes(ctx, routes)
	must(t, err)
	_, err = its.Until(ctx, many+1, time.Minute)
	must(t, err)
	unchanged("more shards")
	if len(parts) <= 5 {
		t.Errorf("%d routes are in %d parts alone", many, len(parts))
	}
	must(t, its.DeleteSet(ctx, "shard"))
	_, err = its.Until(ctx, 1, time.Minute)
	must(t, err)
	unchanged("fewer shards")
}

// listen gives a Gateway these listeners, and waits until they are programmed.
func listen(t *testing.T, gateway *rig.Cluster, listeners ...any) {
	t.Helper()
	spec := patch(t, "spec", map[string]any{"listeners": listeners})
	must(t, gateway.Merge(t.Context(), rig.Gateways, gateway.Gateway, spec))
	programmed(t, gateway, time.Minute, yes)
}
