package faults

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

const otherController = "other.example/controller"

// Somebody else writes its own entry of `status.parents` every second, and nothing of ours.
func TestAnothersEntryIsLeftAlone(t *testing.T) {
	ctx, route := t.Context(), "good"
	entry := entryOfOurs(t, route)
	traffic(t)
	audit, err := cluster.Audit()
	must(t, err)
	defer audit.Close()
	times, written := pick(20, 8), ""
	for i := range times {
		written = fmt.Sprintf("written for the %d. time", i+1)
		must(t, cluster.WriteStatus(ctx, rig.Routes, route, func(status map[string]any) {
			status["parents"] = append(ours(status), entryOfAnother(written))
		}))
		time.Sleep(time.Second)
	}
	if writes := writesByUs(t, audit, route); len(writes) > 0 {
		t.Errorf("nothing of ours had changed, and was written: %v", writes)
	}
	// Ours changes, and the other one stays.
	must(t, cluster.Merge(ctx, rig.Routes, route, `{"spec": {"hostnames": ["good.example", "better.example"]}}`))
	eventually(t, 20*time.Second, func() error {
		_, err := cluster.Condition(ctx, rig.Routes, route, "Accepted")
		return err
	})
	must(t, cluster.Merge(ctx, rig.Routes, route, `{"spec": {"hostnames": ["good.example"]}}`))
	eventually(t, 20*time.Second, func() error {
		_, err := cluster.Condition(ctx, rig.Routes, route, "Accepted")
		return err
	})
	object, err := cluster.Object(ctx, rig.Routes, route)
	must(t, err)
	var others []any
	for _, its := range object.Object["status"].(map[string]any)["parents"].([]any) {
		if its.(map[string]any)["controllerName"] == otherController {
			others = append(others, its)
		}
	}
	if fmt.Sprint(others) != fmt.Sprint([]any{entryOfAnother(written)}) {
		t.Errorf("the other controller's entry is not as it was written: %v", others)
	}
	if now := entryOfOurs(t, route); fmt.Sprint(now["parentRef"]) != fmt.Sprint(entry["parentRef"]) {
		t.Errorf("our entry is about another parent: %v, before %v", now, entry)
	}
	must(t, cluster.WriteStatus(ctx, rig.Routes, route, func(status map[string]any) { status["parents"] = ours(status) }))
}

// Somebody else takes our entry away every second. It is written again each time, and no more often.
func TestOurEntryComesBackEachTime(t *testing.T) {
	ctx, route := t.Context(), "good"
	traffic(t)
	audit, err := cluster.Audit()
	must(t, err)
	defer audit.Close()
	times := pick(20, 8)
	for range times {
		must(t, cluster.WriteStatus(ctx, rig.Routes, route, func(status map[string]any) {
			status["parents"] = []any{entryOfAnother("alone")}
		}))
		eventually(t, 10*time.Second, func() error {
			_, err := cluster.Condition(ctx, rig.Routes, route, "Accepted")
			return err
		})
		time.Sleep(time.Second)
	}
	if writes := writesByUs(t, audit, route); len(writes) != times {
		t.Errorf("our entry was taken away %d times and written %d times", times, len(writes))
	}
	must(t, cluster.WriteStatus(ctx, rig.Routes, route, func(status map[string]any) { status["parents"] = ours(status) }))
}

func entryOfAnother(message string) map[string]any {
	return map[string]any{
		"controllerName": otherController,
		"parentRef":      map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "another"},
		"conditions": []any{map[string]any{
			"type": "Accepted", "status": "True", "reason": "Accepted", "message": message,
			"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": int64(1),
		}},
	}
}

// ours are our entries in a route's status.
func ours(status map[string]any) (entries []any) {
	parents, _ := status["parents"].([]any)
	for _, entry := range parents {
		if entry.(map[string]any)["controllerName"] == rig.ControllerName {
			entries = append(entries, entry)
		}
	}
	return entries
}

func entryOfOurs(t *testing.T, route string) map[string]any {
	t.Helper()
	object, err := cluster.Object(context.Background(), rig.Routes, route)
	must(t, err)
	entries := ours(object.Object["status"].(map[string]any))
	if len(entries) != 1 {
		t.Fatalf("route %s has %d entries of ours: %v", route, len(entries), entries)
	}
	return entries[0].(map[string]any)
}

func writesByUs(t *testing.T, audit *rig.Audit, route string) []rig.Write {
	t.Helper()
	writes, err := audit.Count(func(write rig.Write) bool {
		return write.ByUs() && write.ObjectRef.Resource == "httproutes" && write.ObjectRef.Name == route
	})
	must(t, err)
	return writes
}
