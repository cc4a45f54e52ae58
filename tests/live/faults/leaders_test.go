package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

// A leader that was frozen for longer than its Lease holds does not know that another one leads. Not one write of its
// may be taken after the first of the other's.
func TestTwoNeverLead(t *testing.T) {
	ctx := t.Context()
	undisturbed := storm(t, func() {})
	traffic(t)
	audit, err := cluster.Audit()
	must(t, err)
	defer audit.Close()
	disturbed := storm(t, func() {
		for range pick(3, 1) {
			// Each has something to write before it is frozen.
			time.Sleep(3 * time.Second)
			leader, err := cluster.Leader(ctx)
			must(t, err)
			process, err := rig.ControllerIn(leader)
			must(t, err)
			must(t, process.Signal(syscall.SIGSTOP))
			err = cluster.AnotherLeader(ctx, leader, time.Minute)
			must(t, process.Signal(syscall.SIGCONT))
			must(t, err)
		}
	})
	if !disturbed.Same(undisturbed) {
		t.Errorf("the bundle holds %v, not %v as without the fault", disturbed.Parts, undisturbed.Parts)
	}
	writes, err := audit.Count(func(write rig.Write) bool {
		ours := strings.HasSuffix(write.User.Username, ":"+rig.System+":"+rig.Controller)
		return ours && write.ByUs() && write.ResponseStatus.Code < 300
	})
	must(t, err)
	slices.SortStableFunc(writes, func(a, b rig.Write) int {
		return cmp.Compare(a.RequestReceivedTimestamp.UnixNano(), b.RequestReceivedTimestamp.UnixNano())
	})
	var leaders []string
	for _, write := range writes {
		pod := write.Pod()
		if pod == "" {
			t.Fatalf("the audit log does not say who wrote: %s", write)
		}
		if len(leaders) > 0 && leaders[len(leaders)-1] == pod {
			continue
		}
		leaders = append(leaders, pod)
	}
	t.Logf("%d writes, one after the other by %v", len(writes), leaders)
	if want := pick(3, 1) + 1; len(leaders) != want {
		t.Errorf("%d took turns to write, not %d: %v", len(leaders), want, leaders)
	}
}

// A second installation in another namespace has the same controllerName, and so the same Gateways: both write the same,
// and therefore nothing.
func TestASecondInstallationDoesNoHarm(t *testing.T) {
	const second = "gatewasm-second"
	undisturbed := storm(t, func() {})
	traffic(t)
	manifest := secondInstallation(t, second)
	t.Cleanup(func() {
		if _, err := rig.Kubectl(manifest, "delete", "--ignore-not-found", "--timeout=120s", "-f", "-"); err != nil {
			t.Error(err)
		}
	})
	kubectl(t, manifest, "apply", "-f", "-")
	kubectl(t, "", "-n", second, "rollout", "status", "deployment/"+rig.Controller, "--timeout=120s")
	eventually(t, time.Minute, func() error {
		lease, err := rig.Kubectl("", "-n", second, "get", "lease", rig.Controller, "-o", "jsonpath={.spec.holderIdentity}")
		if err == nil && lease == "" {
			err = fmt.Errorf("nobody leads in %s", second)
		}
		return err
	})
	if disturbed := storm(t, func() { time.Sleep(pick(30*time.Second, 5*time.Second)) }); !disturbed.Same(undisturbed) {
		t.Errorf("the bundle holds %v, not %v as without the fault", disturbed.Parts, undisturbed.Parts)
	}
	time.Sleep(5 * time.Second)
	audit, err := cluster.Audit()
	must(t, err)
	defer audit.Close()
	time.Sleep(pick(time.Minute, 10*time.Second))
	writes, err := audit.Count(func(write rig.Write) bool {
		return strings.HasSuffix(write.User.Username, ":"+rig.Controller) && write.ObjectRef.Resource != "leases"
	})
	must(t, err)
	if len(writes) > 0 {
		t.Errorf("%d writes while nothing changed: both want something else: %v", len(writes), writes[:min(len(writes), 10)])
	}
}

// secondInstallation is what install.yaml has, in another namespace: with the same ClusterRole and class.
func secondInstallation(t *testing.T, namespace string) string {
	t.Helper()
	var manifests []string
	for manifest := range strings.SplitSeq(installation(t), "\n---\n") {
		switch {
		case strings.Contains(manifest, "kind: ClusterRole\n"), strings.Contains(manifest, "kind: GatewayClass\n"):
			continue
		case strings.Contains(manifest, "kind: ClusterRoleBinding\n"):
			manifest = strings.Replace(manifest, "name: gatewasm-controller\n", "name: "+namespace+"\n", 1)
		}
		manifests = append(manifests, strings.ReplaceAll(manifest, rig.System, namespace))
	}
	return strings.Join(manifests, "\n---\n")
}
