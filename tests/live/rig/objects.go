package rig

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Most that are created or deleted at the same time.
const atOnce = 16

// Route is an HTTPRoute with one rule, of the Gateway's listener "http" if it says no other.
type Route struct {
	Name    string
	Host    string
	Path    string
	Backend string
	// Set is a label of the object.
	Set      string
	Listener string
	// Gateway is GatewayName, if none is named.
	Gateway string
}

// Object is the route's manifest. It sets a response header, as most routes do something of the kind.
func (r Route) Object() map[string]any {
	metadata := map[string]any{"name": r.Name, "namespace": Namespace}
	if r.Set != "" {
		metadata["labels"] = map[string]any{"set": r.Set}
	}
	listener := r.Listener
	if listener == "" {
		listener = "http"
	}
	gateway := r.Gateway
	if gateway == "" {
		gateway = GatewayName
	}
	return map[string]any{
		"apiVersion": gatewayAPI.String(), "kind": "HTTPRoute", "metadata": metadata,
		"spec": map[string]any{
			"parentRefs": []any{map[string]any{"name": gateway, "sectionName": listener}},
			"hostnames":  []any{r.Host},
			"rules":      []any{Rule(r.Path, r.Backend, "of-"+r.Name)},
		},
	}
}

// Rule forwards what is under the path to a backend, and names itself in the answer's header X-Version.
func Rule(path, backend, version string) map[string]any {
	return map[string]any{
		"matches":     []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": path}}},
		"backendRefs": []any{map[string]any{"name": backend, "port": 80}},
		"filters": []any{map[string]any{
			"type": "ResponseHeaderModifier",
			"responseHeaderModifier": map[string]any{
				"set": []any{map[string]any{"name": "X-Version", "value": version}},
			},
		}},
	}
}

// Service is one more Service of the backend "a".
func Service(name string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": name, "namespace": Namespace},
		"spec": map[string]any{
			"selector": map[string]any{"app": "a"},
			"ports":    []any{map[string]any{"port": 80, "targetPort": 3000}},
		},
	}
}

// Numbered are the routes NAME-from to NAME-(to-1), each with a host of its own.
func Numbered(name string, from, to int, backend func(int) string) []Route {
	routes := make([]Route, 0, to-from)
	for i := from; i < to; i++ {
		own := fmt.Sprintf("%s-%d", name, i)
		routes = append(routes, Route{Name: own, Host: own + ".example", Path: "/", Backend: backend(i), Set: name})
	}
	return routes
}

// To is a backend that is always the same.
func To(backend string) func(int) string { return func(int) string { return backend } }

// CreateRoutes creates routes as fast as the API server takes them, and returns when it took the last one.
func (c *Cluster) CreateRoutes(ctx context.Context, routes []Route) (time.Time, error) {
	err := Each(len(routes), func(i int) error { return c.Create(ctx, Routes, routes[i].Object()) })
	return time.Now(), err
}

// CreateServices creates Services that are not there yet.
func (c *Cluster) CreateServices(ctx context.Context, names []string) error {
	return Each(len(names), func(i int) error {
		err := c.Create(ctx, Services, Service(names[i]))
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

// DeleteSet deletes the routes of a set.
func (c *Cluster) DeleteSet(ctx context.Context, set string) error {
	return c.deleteAll(ctx, Routes, "set="+set)
}

// DeleteRoutes deletes all routes, and waits until the Gateway has none.
func (c *Cluster) DeleteRoutes(ctx context.Context) error {
	if err := c.deleteAll(ctx, Routes, ""); err != nil {
		return err
	}
	_, err := c.Until(ctx, 0, 2*time.Minute)
	return err
}

func (c *Cluster) deleteAll(ctx context.Context, resource schema.GroupVersionResource, selector string) error {
	objects, err := c.List(ctx, resource, selector)
	if err != nil {
		return err
	}
	return Each(len(objects), func(i int) error {
		err := c.Delete(ctx, resource, objects[i].GetName())
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// Each does something so many times, some at the same time.
func Each(count int, do func(int) error) error {
	var group sync.WaitGroup
	errs := make([]error, atOnce)
	for worker := range atOnce {
		group.Go(func() {
			for i := worker; i < count && errs[worker] == nil; i += atOnce {
				errs[worker] = do(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
