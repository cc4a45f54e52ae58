package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// AgentPort is where an agent answers.
const AgentPort = "19001"

// Pod is one of the Gateway's data plane.
type Pod struct {
	Name, Address string
	Ready         bool
}

// Pods are those of the Gateway's data plane that are not about to end.
func (c *Cluster) Pods(ctx context.Context) ([]Pod, error) {
	objects, err := c.List(ctx, Pods, "gateway.networking.k8s.io/gateway-name="+c.Gateway)
	var pods []Pod
	for _, object := range objects {
		if object.GetDeletionTimestamp() == nil {
			address, _, _ := unstructured.NestedString(object.Object, "status", "podIP")
			pods = append(pods, Pod{object.GetName(), address, IsReady(object)})
		}
	}
	return pods, err
}

// Pod is the only one of the data plane.
func (c *Cluster) Pod(ctx context.Context) (Pod, error) {
	pods, err := c.Pods(ctx)
	if err == nil && len(pods) != 1 {
		err = fmt.Errorf("Gateway %s has %d pods, not one", c.Gateway, len(pods))
	}
	if err != nil {
		return Pod{}, err
	}
	return pods[0], nil
}

// Scale brings the number of pods of the data plane to count, and waits until they are ready, and no others left.
func (c *Cluster) Scale(ctx context.Context, count int) ([]Pod, error) {
	patch := fmt.Sprintf(`{"spec": {"replicas": %d}}`, count)
	if err := c.Merge(ctx, Deployments, DataPlaneName(c.Gateway), patch); err != nil {
		return nil, err
	}
	var pods []Pod
	err := Eventually(ctx, 3*time.Minute, func() (err error) {
		if pods, err = c.Pods(ctx); err != nil {
			return err
		}
		if len(pods) != count {
			return fmt.Errorf("Gateway %s has %d pods, not %d", c.Gateway, len(pods), count)
		}
		for _, pod := range pods {
			if !pod.Ready {
				return fmt.Errorf("pod %s is not ready", pod.Name)
			}
		}
		return nil
	})
	return pods, err
}

// IsReady is whether a pod has said so.
func IsReady(pod unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	for _, condition := range conditions {
		its := condition.(map[string]any)
		if its["type"] == "Ready" {
			return its["status"] == "True"
		}
	}
	return false
}

// AgentAnswer is what an agent says of its bundle.
type AgentAnswer struct {
	InEffect struct {
		Counter uint64
		Hash    string
	}
	// NotTaken says why the newest bundle is not taken, where it is not.
	NotTaken string
}

// Ask asks the pod's agent.
func (p Pod) Ask(ctx context.Context) (answer AgentAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort(p.Address, AgentPort) + "/bundle"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return answer, errors.New(response.Status)
	}
	return answer, json.NewDecoder(response.Body).Decode(&answer)
}

// Envoy is the pod's Envoy.
func (p Pod) Envoy() (Process, error) { return find("/envoy ", p.Name) }

// Agent is the pod's agent.
func (p Pod) Agent() (Process, error) { return find("/gatewasm agent", p.Name) }
