package smoke

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTheNodeIsReady(t *testing.T) {
	kubectl(t, "wait", "--for=condition=Ready", "node", "--all", "--timeout=10s")
}

func TestEnvoyRunsUnderRestrictedPodSecurity(t *testing.T) {
	kubectl(t, "rollout", "status", "deployment/envoy", "--timeout=60s")
	output, err := try("", "run", "root", "--image=nobody/nothing:1", "--privileged", "--dry-run=server")
	if err == nil || !strings.Contains(err.Error(), `violates PodSecurity "restricted`) {
		t.Fatalf("a privileged pod is not refused: %s %v", output, err)
	}
}

func TestEndpointSlicesFollowThePods(t *testing.T) {
	for _, replicas := range []int{2, 1, 2} {
		kubectl(t, "scale", "deployment/envoy", fmt.Sprintf("--replicas=%d", replicas))
		eventually(t, 20*time.Second, func() error {
			ready, err := try("", "get", "endpointslices", "-l", "kubernetes.io/service-name=envoy",
				"-o", "jsonpath={.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}")
			if err == nil && len(strings.Fields(ready)) != replicas {
				err = fmt.Errorf("ready endpoints: %q, expected %d", ready, replicas)
			}
			return err
		})
	}
}

// pods are the names of the two, once those of an earlier scale are gone.
func pods(t *testing.T) (names []string) {
	t.Helper()
	kubectl(t, "rollout", "status", "deployment/envoy", "--timeout=60s")
	eventually(t, 20*time.Second, func() error {
		all, err := try("", "get", "pods", "-l", "app=envoy", "-o", "jsonpath={.items[*].metadata.name}")
		if names = strings.Fields(all); err == nil && len(names) != 2 {
			err = fmt.Errorf("pods: %q, expected two", all)
		}
		return err
	})
	return names
}

func TestTheClusterIPReachesEveryPod(t *testing.T) {
	url := "http://" + value(t, "service/envoy", ".spec.clusterIP")
	for _, pod := range pods(t) {
		eventually(t, 20*time.Second, func() error { return get(url, pod) })
	}
}

// The node asks a pod, which asks the cluster's DNS for the Service, and the Service: a pod's own packets go this way.
func TestPodsReachServicesByName(t *testing.T) {
	url := "http://" + value(t, "service/envoy", ".spec.clusterIP") + "/by-name/"
	eventually(t, 30*time.Second, func() error { return get(url, "envoy-") })
}

func TestExecAndLogs(t *testing.T) {
	pod := pods(t)[0]
	if version := kubectl(t, "exec", pod, "--", "/usr/local/bin/envoy", "--version"); !strings.Contains(version, "1.40.0") {
		t.Errorf("envoy --version in the pod says %q", version)
	}
	// The readiness probe's requests.
	eventually(t, 10*time.Second, func() error {
		logs, err := try("", "logs", pod)
		if err == nil && !strings.Contains(logs, `"GET / HTTP/1.1" 200`) {
			err = fmt.Errorf("no request in the log: %q", logs)
		}
		return err
	})
}

// In the kubelet's folder, which is what the container sees: the image has nothing to read files with.
func TestAChangedConfigMapArrives(t *testing.T) {
	text := time.Now().String()
	kubectl(t, "patch", "configmap/greeting", "--type=merge", "-p", fmt.Sprintf(`{"data":{"text":%q}}`, text))
	for _, pod := range pods(t) {
		file := fmt.Sprintf("/run/cluster/state/kubelet/pods/%s/volumes/kubernetes.io~projected/greeting/text",
			value(t, "pod/"+pod, ".metadata.uid"))
		eventually(t, 10*time.Second, func() error {
			content, err := os.ReadFile(file)
			if err == nil && string(content) != text {
				err = fmt.Errorf("%s is %q, expected %q", file, content, text)
			}
			return err
		})
	}
}

func TestTheAuditLogHasWritesAndNoReads(t *testing.T) {
	kubectl(t, "create", "configmap", "audited")
	kubectl(t, "get", "configmap", "audited")
	eventually(t, 10*time.Second, func() error {
		log, err := os.Open("/run/cluster/state/log/audit.log")
		if err != nil {
			return err
		}
		defer log.Close()
		created := false
		lines := bufio.NewScanner(log)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			if strings.Contains(line, `"verb":"get"`) || strings.Contains(line, `"verb":"watch"`) {
				t.Fatalf("a read in the audit log: %s", line)
			}
			created = created || strings.Contains(line, `"verb":"create"`) && strings.Contains(line, `"name":"audited"`) &&
				strings.Contains(line, `"username":"admin"`)
		}
		if !created {
			return errors.Join(lines.Err(), errors.New("the audit log does not have admin's ConfigMap"))
		}
		return lines.Err()
	})
}
