// Package rig is what measurements and tests of a live cluster have in common: objects made and deleted as a user does
// it, requests through the Gateway, processes, and what the audit log says of writes. It knows nothing of gatewasm but
// the names in manifests/install.yaml and those of a Gateway's data plane.
package rig

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

//go:embed base.yaml
var base string

// Namespace is where everything is that the rig makes.
const Namespace = "live"

// GatewayName is the Gateway's that Connect makes.
const GatewayName = "live"

var (
	gatewayAPI  = schema.GroupVersion{Group: "gateway.networking.k8s.io", Version: "v1"}
	Routes      = gatewayAPI.WithResource("httproutes")
	GRPCRoutes  = gatewayAPI.WithResource("grpcroutes")
	Gateways    = gatewayAPI.WithResource("gateways")
	Classes     = gatewayAPI.WithResource("gatewayclasses")
	Services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	ConfigMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	Pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	Deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	CRDs        = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	leases      = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// Cluster is the cluster of $KUBECONFIG, seen from one of its namespaces and by one Gateway there.
type Cluster struct {
	client dynamic.Interface
	// Namespace of the objects that are asked for; empty for those that have none.
	Namespace string
	// Gateway is the Gateway's name.
	Gateway string
	// Address is the Gateway's.
	Address string
}

// In is the same cluster, seen from another namespace.
func (c *Cluster) In(namespace string) *Cluster {
	other := *c
	other.Namespace = namespace
	return &other
}

// Connect makes a Gateway and two backends, "a" and "b", anew where there are any, and waits until they serve.
func Connect(ctx context.Context) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", clientcmd.NewDefaultClientConfigLoadingRules().GetDefaultFilename())
	if err != nil {
		return nil, err
	}
	// What limits a load is to be the API server.
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c := &Cluster{client: client, Namespace: Namespace}
	if err := c.Remove(ctx); err != nil {
		return nil, err
	}
	if _, err := Kubectl(base, "create", "-f", "-"); err != nil {
		return nil, err
	}
	c, err = c.Of(ctx, GatewayName)
	if err != nil {
		return nil, err
	}
	return c, Eventually(ctx, 2*time.Minute, func() error {
		for _, backend := range []string{"a", "b"} {
			deployment, err := c.Object(ctx, Deployments, backend)
			if err != nil {
				return err
			}
			if ready, _, _ := unstructured.NestedInt64(deployment.Object, "status", "readyReplicas"); ready == 0 {
				return fmt.Errorf("backend %s is not ready", backend)
			}
		}
		_, err = c.Get("nobody.example", "/")
		return err
	})
}

// Of waits until another Gateway of the namespace has an address, and is the same cluster seen by it.
func (c *Cluster) Of(ctx context.Context, gateway string) (*Cluster, error) {
	other := *c
	other.Gateway = gateway
	err := Eventually(ctx, 2*time.Minute, func() error {
		object, err := c.Object(ctx, Gateways, gateway)
		if err != nil {
			return err
		}
		addresses, _, _ := unstructured.NestedSlice(object.Object, "status", "addresses")
		if len(addresses) == 0 {
			return fmt.Errorf("Gateway %s has no address: is gatewasm installed?", gateway)
		}
		other.Address, _ = addresses[0].(map[string]any)["value"].(string)
		return nil
	})
	return &other, err
}

// Remove deletes all of it.
func (c *Cluster) Remove(ctx context.Context) error {
	err := c.client.Resource(namespaces).Delete(ctx, Namespace, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return Eventually(ctx, 10*time.Minute, func() error {
		_, err := c.client.Resource(namespaces).Get(ctx, Namespace, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err == nil:
			return fmt.Errorf("namespace %s is still being deleted", Namespace)
		}
		return err
	})
}

func (c *Cluster) in(resource schema.GroupVersionResource) dynamic.ResourceInterface {
	return c.client.Resource(resource).Namespace(c.Namespace)
}

// Object is one object, as it is now.
func (c *Cluster) Object(ctx context.Context, resource schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	return c.in(resource).Get(ctx, name, metav1.GetOptions{})
}

// Create makes one object.
func (c *Cluster) Create(ctx context.Context, resource schema.GroupVersionResource, object map[string]any) error {
	_, err := c.in(resource).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	return err
}

// Merge changes the fields of an object that the patch names.
func (c *Cluster) Merge(ctx context.Context, resource schema.GroupVersionResource, name, patch string) error {
	_, err := c.in(resource).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// WriteStatus changes an object's status as a controller does that reads it before.
func (c *Cluster) WriteStatus(ctx context.Context, resource schema.GroupVersionResource, name string, change func(status map[string]any)) error {
	for {
		object, err := c.Object(ctx, resource, name)
		if err != nil {
			return err
		}
		status, _ := object.Object["status"].(map[string]any)
		if status == nil {
			status = map[string]any{}
			object.Object["status"] = status
		}
		change(status)
		_, err = c.in(resource).UpdateStatus(ctx, object, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

// Delete deletes one object.
func (c *Cluster) Delete(ctx context.Context, resource schema.GroupVersionResource, name string) error {
	return c.in(resource).Delete(ctx, name, metav1.DeleteOptions{})
}

// List returns the objects with the labels that the selector names; all, for an empty one.
func (c *Cluster) List(ctx context.Context, resource schema.GroupVersionResource, selector string) ([]unstructured.Unstructured, error) {
	list, err := c.in(resource).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// AttachedRoutes is what the Gateway's status says of its listener.
func (c *Cluster) AttachedRoutes(ctx context.Context) (int, error) {
	gateway, err := c.Object(ctx, Gateways, c.Gateway)
	if err != nil {
		return 0, err
	}
	listeners, _, _ := unstructured.NestedSlice(gateway.Object, "status", "listeners")
	if len(listeners) == 0 {
		return 0, fmt.Errorf("the status of Gateway %s has no listeners", c.Gateway)
	}
	attached, _, err := unstructured.NestedInt64(listeners[0].(map[string]any), "attachedRoutes")
	return int(attached), err
}

// Until waits until so many routes are attached, and returns when it saw that.
func (c *Cluster) Until(ctx context.Context, attached int, limit time.Duration) (time.Time, error) {
	var at time.Time
	err := Eventually(ctx, limit, func() error {
		now, err := c.AttachedRoutes(ctx)
		if err == nil && now != attached {
			err = fmt.Errorf("attachedRoutes is %d, not %d", now, attached)
		}
		at = time.Now()
		return err
	})
	return at, err
}

// Eventually asks again every 20 ms until there is no error.
func Eventually(ctx context.Context, limit time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
