package faults

import (
	"fmt"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

func TestDeletedConfigMapsAreMadeAgain(t *testing.T) {
	// By a leader that has found everything as it is wanted, and has written nothing yet.
	killed, err := cluster.Kill(t.Context())
	must(t, err)
	must(t, cluster.AnotherLeader(t.Context(), killed, time.Minute))
	check := undisturbed(t)
	traffic(t)
	for _, name := range []string{cluster.Part("endpoints-0"), cluster.Part("routes-0"), cluster.Manifest()} {
		must(t, cluster.Delete(t.Context(), rig.ConfigMaps, name))
		took := eventually(t, time.Minute, func() error {
			_, err := cluster.Object(t.Context(), rig.ConfigMaps, name)
			return err
		})
		t.Logf("%s deleted: it is there again after %s", name, took.Round(time.Millisecond))
		check()
	}
	// Agents take what comes next.
	storm(t, func() {})
	eventually(t, 20*time.Second, func() error {
		answer, err := cluster.Get("storm-0.example", "/")
		if err == nil && answer.Version != "-1-0" {
			err = fmt.Errorf("a change after that is not in effect: version %q", answer.Version)
		}
		return err
	})
}
