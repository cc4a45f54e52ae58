package faults

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

// Routes that change in a storm.
const changing = 20

// storm changes these routes again and again while something else is done, and leaves them in a state that depends on
// neither.
func storm(t *testing.T, meanwhile func()) rig.Bundle {
	t.Helper()
	end, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for round := 0; ; round++ {
			if err := change(t, round); err != nil {
				ended <- err
				return
			}
			select {
			case <-end:
				ended <- nil
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	meanwhile()
	close(end)
	must(t, <-ended)
	must(t, change(t, -1))
	seen(t)
	return settled(t, cluster)
}

// seen waits until the controller has said of each route what came of its last change.
func seen(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		for i := range changing {
			if _, err := cluster.Condition(t.Context(), rig.Routes, fmt.Sprintf("storm-%d", i), "Accepted"); err != nil {
				return err
			}
		}
		return nil
	})
}

// change changes each of the routes once.
func change(t *testing.T, round int) error {
	for i := range changing {
		backend := []string{"a", "b"}[(round+1+i)%2]
		rules := []any{rig.Rule("/", backend, fmt.Sprintf("%d-%d", round, i))}
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"rules": rules}})
		if err == nil {
			err = cluster.Merge(t.Context(), rig.Routes, fmt.Sprintf("storm-%d", i), string(patch))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestAControllerKilledInAStormLeavesNoTrace(t *testing.T) {
	undisturbed := storm(t, func() {})
	traffic(t)
	disturbed := storm(t, func() {
		for range pick(20, 2) {
			killed, err := cluster.Kill(t.Context())
			must(t, err)
			must(t, cluster.AnotherLeader(t.Context(), killed, time.Minute))
			time.Sleep(time.Second)
		}
	})
	if !disturbed.Same(undisturbed) {
		t.Errorf("the bundle holds %v, not %v as without the fault", disturbed.Parts, undisturbed.Parts)
	}
}
