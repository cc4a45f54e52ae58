package faults

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

// A pod that says nothing for this long is not waited for any more.
const silence = 10 * time.Second

func TestWithoutAPodNothingIsProgrammed(t *testing.T) {
	check := undisturbed(t)
	traffic(t)
	its := gateway(t, "pods", listener("http", 80))
	programmed(t, its, time.Minute, yes)
	_, err := its.Scale(t.Context(), 0)
	must(t, err)
	said := programmed(t, its, 30*time.Second, func(condition rig.Condition) bool {
		return condition.Status == "False" && strings.Contains(condition.Message, "no pod")
	})
	if said.Reason != "Pending" {
		t.Errorf("the Gateway says %s", said)
	}
	// Nobody is waited for.
	route(t, its, "meanwhile")
	if took := published(t, "meanwhile"); took > silence/2 {
		t.Errorf("what is said of a route is published after %s", took)
	}
	_, err = its.Scale(t.Context(), 1)
	must(t, err)
	programmed(t, its, time.Minute, yes)
	eventually(t, 10*time.Second, func() error { return serves(its, "meanwhile.example") })
	check()
}

// An agent that hangs: its Envoy serves on what it has, and is named until its pod is not ready any more.
func TestOneOfThreePodsHangs(t *testing.T) {
	check := undisturbed(t)
	traffic(t)
	its := gateway(t, "pods", listener("http", 80))
	route(t, its, "before")
	pods, err := its.Scale(t.Context(), 3)
	must(t, err)
	programmed(t, its, time.Minute, yes)
	// A Service needs a moment to know of new pods.
	eventually(t, 10*time.Second, func() error { return serves(its, "before.example") })
	stop := load(t, its.NewClient(8), "before.example")

	bad := pods[1]
	agent, err := bad.Agent()
	must(t, err)
	must(t, agent.Signal(syscall.SIGSTOP))
	t.Logf("%s of pod %s hangs from %s on", agent, bad.Name, time.Now().Format("15:04:05"))
	t.Cleanup(func() { _ = agent.Signal(syscall.SIGCONT) })
	route(t, its, "meanwhile")
	took := published(t, "meanwhile")
	if took < silence-time.Second || took > 2*silence {
		t.Errorf("with a pod that is silent, what is said of a route is published after %s, not about %s", took, silence)
	}
	said := programmed(t, its, silence, func(condition rig.Condition) bool { return strings.Contains(condition.Message, bad.Name) })
	if said.Status != "True" || !strings.Contains(said.Message, "1 of 3 ready pods") {
		t.Errorf("the Gateway says %s", said)
	}
	for _, pod := range pods {
		if pod == bad {
			if serves(at(its, pod), "meanwhile.example") == nil {
				t.Errorf("pod %s has what its agent did not give it", pod.Name)
			}
			must(t, serves(at(its, pod), "before.example"))
			continue
		}
		must(t, serves(at(its, pod), "meanwhile.example"))
	}
	took = eventually(t, time.Minute, func() error {
		condition, err := its.Condition(t.Context(), rig.Gateways, its.Gateway, "Programmed")
		if err == nil && (condition.Status != "True" || strings.Contains(condition.Message, bad.Name)) {
			err = fmt.Errorf("the Gateway says %s", condition)
		}
		return err
	})
	t.Logf("the pod does not count any more after further %s", took.Round(time.Second/10))

	must(t, agent.Signal(syscall.SIGCONT))
	eventually(t, 30*time.Second, func() error { return serves(at(its, bad), "meanwhile.example") })
	settled(t, its)
	stop()
	check()
}

// Nobody can ask the agents: what they have in effect is served, and nobody may say that it is programmed.
func TestTheAgentsPortIsBlocked(t *testing.T) {
	check := undisturbed(t)
	traffic(t)
	its := gateway(t, "before", listener("http", 80))
	programmed(t, its, time.Minute, yes)
	pod, err := its.Pod(t.Context())
	must(t, err)

	const table = "gatewasm-faults"
	unblock := func() { _, _ = rig.Run("", "nft", "delete", "table", "ip", table) }
	// Between pods; the kubelet's probes do not come this way.
	_, err = rig.Run(fmt.Sprintf(`table ip %s { chain forward {
		type filter hook forward priority -10;
		tcp dport %s drop
		tcp sport %s drop
	}
	}
`, table, rig.AgentPort, rig.AgentPort), "nft", "-f", "-")
	must(t, err)
	t.Cleanup(unblock)

	// It was programmed, and is not said to be anything else; the pod is named.
	route(t, its, "meanwhile")
	took := published(t, "meanwhile")
	if took < silence-time.Second || took > 2*silence {
		t.Errorf("what is said of a route is published after %s, not about %s", took, silence)
	}
	must(t, serves(its, "meanwhile.example"))
	said := programmed(t, its, silence, func(condition rig.Condition) bool { return strings.Contains(condition.Message, pod.Name) })
	if !yes(said) {
		t.Errorf("the Gateway says %s", said)
	}
	// A new one never was.
	late := gateway(t, "late", listener("http", 80))
	said = programmed(t, late, time.Minute, func(condition rig.Condition) bool {
		return strings.Contains(condition.Message, "Not in effect yet in 1 of 1 ready pods")
	})
	if said.Status != "False" || said.Reason != "Pending" {
		t.Errorf("the Gateway says %s", said)
	}
	unblock()
	programmed(t, late, 30*time.Second, yes)
	programmed(t, its, 30*time.Second, func(condition rig.Condition) bool {
		return yes(condition) && !strings.Contains(condition.Message, pod.Name)
	})
	check()
}

// published waits until a route has its condition, and returns how long that took.
func published(t *testing.T, route string) time.Duration {
	t.Helper()
	return eventually(t, time.Minute, func() error {
		_, err := cluster.Condition(t.Context(), rig.Routes, route, "Accepted")
		return err
	})
}

func at(gateway *rig.Cluster, pod rig.Pod) *rig.Cluster {
	return gateway.At(net.JoinHostPort(pod.Address, "80"))
}

func serves(gateway *rig.Cluster, host string) error {
	answer, err := gateway.Get(host, "/")
	if err == nil && (answer.Status != http.StatusOK || answer.Backend != "b") {
		err = fmt.Errorf("%s is answered %d by %q at %s", host, answer.Status, answer.Backend, gateway.Address)
	}
	return err
}
