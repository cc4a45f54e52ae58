package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Names of the ConfigMaps of the Gateway's bundle.
const (
	bundleBase   = "gatewasm-" + GatewayName
	ManifestName = bundleBase + "-manifest"
)

// Bundle is what the manifest names.
type Bundle struct {
	Counter uint64
	// Parts are the hashes of the parts' content, by name.
	Parts map[string]string
}

// Same is whether both hold the same, whatever their counters.
func (b Bundle) Same(other Bundle) bool { return maps.Equal(b.Parts, other.Parts) }

// Bundle reads the manifest of the Gateway's bundle.
func (c *Cluster) Bundle(ctx context.Context) (Bundle, error) {
	var bundle Bundle
	object, err := c.in(ConfigMaps).Get(ctx, ManifestName, metav1.GetOptions{})
	if err != nil {
		return bundle, err
	}
	text, _, _ := unstructured.NestedString(object.Object, "data", "manifest.json")
	return bundle, json.Unmarshal([]byte(text), &bundle)
}

// RoutesPart is the name of the ConfigMap with the first routes.
func RoutesPart() string { return bundleBase + "-routes-0" }

// Settled waits until the bundle has not changed for some time and every part is there, and returns it.
func (c *Cluster) Settled(ctx context.Context, quiet, limit time.Duration) (Bundle, error) {
	var last Bundle
	since := time.Now()
	err := Eventually(ctx, limit, func() error {
		bundle, err := c.Bundle(ctx)
		if err != nil {
			return err
		}
		if !bundle.Same(last) || bundle.Counter != last.Counter {
			last, since = bundle, time.Now()
		}
		for part := range bundle.Parts {
			if strings.HasPrefix(part, "certificates") {
				continue
			}
			if _, err := c.in(ConfigMaps).Get(ctx, bundleBase+"-"+part, metav1.GetOptions{}); err != nil {
				return err
			}
		}
		if time.Since(since) < quiet {
			return fmt.Errorf("the bundle changed %s ago", time.Since(since))
		}
		return nil
	})
	return last, err
}

// Kill ends the controller's replica that leads, without a chance to say anything.
func (c *Cluster) Kill(ctx context.Context) (string, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return "", err
	}
	var now int64
	return leader, c.client.Resource(Pods).Namespace(System).
		Delete(ctx, leader, metav1.DeleteOptions{GracePeriodSeconds: &now})
}
