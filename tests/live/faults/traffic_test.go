package faults

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"gatewasm/tests/live/rig"
)

// traffic asks the good route all the while.
func traffic(t *testing.T) (stop func()) {
	t.Helper()
	return load(t, cluster.NewClient(8), goodHost)
}

// load asks hosts of the backend "b" in turn until the test ends, or until stop is called, and fails the test for every
// request that failed.
func load(t *testing.T, client *rig.Client, hosts ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	requests, failed := 0, map[string]int{}
	go func() {
		defer close(done)
		client.Load(ctx, 50, hosts, "/", func(answer rig.Answer) {
			requests++
			if answer.Status != http.StatusOK || answer.Backend != "b" {
				failed[fmt.Sprintf("\n  %s %d by %q: %v", answer.At.Format("15:04:05"), answer.Status, answer.Backend, answer.Fault)]++
			}
		})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-done
		client.Close()
		if len(failed) > 0 || requests == 0 {
			t.Errorf("of %d requests for %v failed, at a time, with a status: %v", requests, hosts, failed)
		}
	}
	t.Cleanup(stop)
	return stop
}
