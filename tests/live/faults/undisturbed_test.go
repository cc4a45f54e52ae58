package faults

import (
	"fmt"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

// settled waits until the bundle does not change any more and is in effect in every pod, and returns it.
func settled(t *testing.T, cluster *rig.Cluster) rig.Bundle {
	t.Helper()
	bundle, err := cluster.Settled(t.Context(), quiet, 2*time.Minute)
	must(t, err)
	eventually(t, time.Minute, func() error {
		pods, err := cluster.Pods(t.Context())
		if err == nil && len(pods) == 0 {
			err = fmt.Errorf("no pod")
		}
		for _, pod := range pods {
			answer, failed := pod.Ask(t.Context())
			if failed == nil && (answer.InEffect.Counter != bundle.Counter || answer.NotTaken != "") {
				failed = fmt.Errorf("pod %s has bundle %d in effect, not %d: %s", pod.Name,
					answer.InEffect.Counter, bundle.Counter, answer.NotTaken)
			}
			if failed != nil {
				err = failed
			}
		}
		return err
	})
	return bundle
}

// undisturbed fails the test where it is called again and the data plane has something else in effect than now.
func undisturbed(t *testing.T) (check func()) {
	t.Helper()
	before := settled(t, cluster)
	return func() {
		t.Helper()
		same(t, before)
	}
}

// same fails the test where the data plane has something else in effect than what a bundle holds.
func same(t *testing.T, before rig.Bundle) {
	t.Helper()
	// What was disturbed may take its time to come back.
	err := rig.Eventually(t.Context(), time.Minute, func() error {
		after, err := cluster.Bundle(t.Context())
		if err == nil && !after.Same(before) {
			err = fmt.Errorf("the bundle holds %v, not %v as without the fault", after.Parts, before.Parts)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	after := settled(t, cluster)
	if !after.Same(before) {
		t.Errorf("the bundle holds %v, not %v as without the fault", after.Parts, before.Parts)
	}
	if after.Counter < before.Counter {
		t.Errorf("the bundle's number went back from %d to %d", before.Counter, after.Counter)
	}
}
