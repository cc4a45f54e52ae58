package faults

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

func TestARotatedSecretIsServedAtOnce(t *testing.T) {
	const host, rotations = "secure.example", 20
	check := undisturbed(t)
	ctx := t.Context()
	authority, err := rig.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	issue := func(serial int64) map[string]any {
		data, err := authority.Issue(host, serial)
		must(t, err)
		return secret(rig.SecretName, data)
	}
	route := rig.Route{Name: "secure", Host: host, Path: "/", Backend: "b", Listener: "https"}
	if err := errors.Join(
		cluster.Create(ctx, rig.Secrets, issue(100)), cluster.Create(ctx, rig.Routes, route.Object()),
	); err != nil {
		t.Fatal(err)
	}
	var newest atomic.Int64
	client := cluster.NewTLSClient(authority, host, func(serial int64) { newest.Store(serial) })
	served := func(serial int64) {
		err := rig.Eventually(ctx, 30*time.Second, func() error {
			answer, err := client.Get(host, "/")
			if err == nil && (answer.Status != http.StatusOK || newest.Load() != serial) {
				err = fmt.Errorf("status %d, certificate %d", answer.Status, newest.Load())
			}
			return err
		})
		if err != nil {
			t.Fatalf("certificate %d: %v", serial, err)
		}
	}
	served(100)
	traffic(t)
	stop := load(t, client, host)
	began := time.Now()
	for serial := int64(101); serial <= 100+rotations; serial++ {
		patch, _ := json.Marshal(issue(serial))
		if err := cluster.Merge(ctx, rig.Secrets, rig.SecretName, string(patch)); err != nil {
			t.Fatal(err)
		}
		served(serial)
	}
	t.Logf("a new certificate is served after %s, on average", (time.Since(began) / rotations).Round(time.Millisecond))
	stop()
	must(t, cluster.Delete(ctx, rig.Routes, "secure"))
	must(t, cluster.Delete(ctx, rig.Secrets, rig.SecretName))
	check()
}

// secret is a Secret with a certificate.
func secret(name string, data map[string][]byte) map[string]any {
	texts := map[string]any{}
	for name, bytes := range data {
		texts[name] = base64.StdEncoding.EncodeToString(bytes)
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": texts,
		"metadata": map[string]any{"name": name, "namespace": rig.Namespace},
	}
}
