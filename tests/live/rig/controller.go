package rig

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Namespace and name of the controller's Deployment and Lease.
const (
	System     = "gatewasm-system"
	Controller = "gatewasm-controller"
)

// Leader is the name of the controller's pod that holds the Lease.
func (c *Cluster) Leader(ctx context.Context) (string, error) {
	lease, err := c.In(System).Object(ctx, leases, Controller)
	if err != nil {
		return "", err
	}
	holder, _, err := unstructured.NestedString(lease.Object, "spec", "holderIdentity")
	// A replica that is started again is another one.
	pod, _, _ := strings.Cut(holder, "_")
	return pod, err
}

// AnotherLeader waits until a pod leads that is not this one.
func (c *Cluster) AnotherLeader(ctx context.Context, last string, limit time.Duration) error {
	return Eventually(ctx, limit, func() error {
		leader, err := c.Leader(ctx)
		if err == nil && (leader == last || leader == "") {
			err = fmt.Errorf("%q leads", leader)
		}
		return err
	})
}

// Kill ends the controller's replica that leads, without a chance to say anything.
func (c *Cluster) Kill(ctx context.Context) (string, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return "", err
	}
	var now int64
	return leader, c.In(System).in(Pods).Delete(ctx, leader, metav1.DeleteOptions{GracePeriodSeconds: &now})
}

// Controllers brings the number of the controller's replicas to count, and waits until that is so.
func (c *Cluster) Controllers(ctx context.Context, count int) error {
	patch := fmt.Sprintf(`{"spec": {"replicas": %d}}`, count)
	if err := c.In(System).Merge(ctx, Deployments, Controller, patch); err != nil {
		return err
	}
	return Eventually(ctx, 2*time.Minute, func() error {
		pods, err := c.In(System).List(ctx, Pods, "app.kubernetes.io/component=controller")
		if err != nil {
			return err
		}
		if len(pods) != count {
			return fmt.Errorf("the controller has %d pods, not %d", len(pods), count)
		}
		for _, pod := range pods {
			if !IsReady(pod) {
				return fmt.Errorf("pod %s is not ready", pod.GetName())
			}
		}
		return nil
	})
}
