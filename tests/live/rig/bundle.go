package rig

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// DataPlaneName is the name of a Gateway's Deployment, and what those of the other objects begin with.
func DataPlaneName(gateway string) string { return "gatewasm-" + gateway }

// Manifest is the name of the ConfigMap that names the bundle's parts.
func (c *Cluster) Manifest() string { return c.Part("manifest") }

// Part is the name of the ConfigMap or Secret of a part.
func (c *Cluster) Part(part string) string { return DataPlaneName(c.Gateway) + "-" + part }

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
	text, err := c.PartText(ctx, "manifest")
	if err != nil {
		return bundle, err
	}
	return bundle, json.Unmarshal([]byte(text), &bundle)
}

// PartText is what a ConfigMap or Secret of the bundle holds.
func (c *Cluster) PartText(ctx context.Context, part string) (string, error) {
	isSecret := strings.HasPrefix(part, "certificates")
	resource := ConfigMaps
	if isSecret {
		resource = Secrets
	}
	object, err := c.Object(ctx, resource, c.Part(part))
	if err != nil {
		return "", err
	}
	text, _, err := unstructured.NestedString(object.Object, "data", part+".json")
	if err != nil || !isSecret {
		return text, err
	}
	bytes, err := base64.StdEncoding.DecodeString(text)
	return string(bytes), err
}

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
			if _, err := c.PartText(ctx, part); err != nil {
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
