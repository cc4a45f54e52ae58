package faults

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

// With one pod, requests cannot but fail while its Envoy starts; before and after that they must not.
func TestWithoutAnAPIServerContainersStartAgain(t *testing.T) {
	outage := pick(2*time.Minute, 20*time.Second)
	check := undisturbed(t)
	envoy, agent, err := cluster.DataPlane(t.Context())
	must(t, err)
	component(t, "stop", "kube-apiserver")
	t.Cleanup(func() { component(t, "start", "kube-apiserver") })
	began := time.Now()
	stop := traffic(t)
	time.Sleep(outage / 4)
	must(t, agent.Signal(syscall.SIGKILL))
	served(t, agent.String())
	time.Sleep(2 * time.Second)
	// An agent that starts again does not disturb its Envoy.
	stop()
	must(t, envoy.Signal(syscall.SIGKILL))
	served(t, envoy.String())
	traffic(t)
	time.Sleep(outage - min(outage, time.Since(began)))
	component(t, "start", "kube-apiserver")
	eventually(t, time.Minute, func() error {
		_, err := cluster.Bundle(t.Context())
		return err
	})
	check()
	// What comes next arrives.
	storm(t, func() {})
}

// served waits until the good route is served after a process was killed.
func served(t *testing.T, killed string) {
	t.Helper()
	// It may answer for a moment after its end was asked for.
	time.Sleep(100 * time.Millisecond)
	took := eventually(t, 30*time.Second, func() error {
		for range 20 {
			if answer, err := cluster.Get(goodHost, "/"); err != nil || answer.Status != http.StatusOK {
				return fmt.Errorf("status %d, %v", answer.Status, err)
			}
		}
		return nil
	})
	t.Logf("%s killed: served %s after that", killed, took.Round(time.Millisecond))
}

// component stops or starts one of the cluster's.
func component(t *testing.T, verb, name string) {
	t.Helper()
	if _, err := rig.Run("", "cluster", verb, name); err != nil {
		t.Error(err)
	}
}
