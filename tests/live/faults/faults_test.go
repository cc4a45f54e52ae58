// Package faults breaks what gatewasm relies on, one thing at a time, in the test cluster. Requests to a good route go on
// all the while and none may fail; afterwards the data plane has what it would have without the fault, by the hashes of
// what its bundle holds.
package faults

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

var (
	kills   = flag.Int("kills", 20, "how often the controller is killed")
	outage  = flag.Duration("outage", 2*time.Minute, "for how long the API server is away")
	cluster *rig.Cluster
)

const (
	// Routes that change in a storm.
	changing = 20
	goodHost = "good.example"
)

func TestMain(m *testing.M) {
	flag.Parse()
	ctx := context.Background()
	code := 1
	err := setUp(ctx)
	if err == nil {
		code = m.Run()
		err = cluster.Remove(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		code = 1
	}
	os.Exit(code)
}

func setUp(ctx context.Context) (err error) {
	if cluster, err = rig.Connect(ctx); err != nil {
		return err
	}
	routes := rig.Numbered("storm", 0, changing, rig.To("a"))
	routes = append(routes, rig.Route{Name: "good", Host: goodHost, Path: "/", Backend: "b"})
	if _, err = cluster.CreateRoutes(ctx, routes); err != nil {
		return err
	}
	_, err = cluster.Until(ctx, len(routes), time.Minute)
	return err
}

// storm changes each route so many times, and leaves them in a state that depends on nothing else.
func storm(t *testing.T, rounds int, between func(round int)) rig.Bundle {
	t.Helper()
	ctx := t.Context()
	for round := range rounds {
		for i := range changing {
			backend := []string{"a", "b"}[(round+i)%2]
			rules := []any{rig.Rule("/", backend, fmt.Sprintf("%d-%d", round, i))}
			patch, _ := json.Marshal(map[string]any{"spec": map[string]any{"rules": rules}})
			if err := cluster.Merge(ctx, rig.Routes, fmt.Sprintf("storm-%d", i), string(patch)); err != nil {
				t.Fatal(err)
			}
		}
		between(round)
	}
	bundle, err := cluster.Settled(ctx, 5*time.Second, 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// traffic asks the good route all the while.
func traffic(t *testing.T) (stop func()) {
	t.Helper()
	return load(t, cluster.NewClient(8), goodHost)
}

// load asks a host until the test ends, or until stop is called, and fails the test for every request that failed.
func load(t *testing.T, client *rig.Client, host string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	requests, failed := 0, map[int]int{}
	go func() {
		defer close(done)
		client.Load(ctx, 50, host, "/", func(answer rig.Answer) {
			requests++
			if answer.Status != http.StatusOK || answer.Backend != "b" {
				failed[answer.Status]++
			}
		})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-done
		client.Close()
		if len(failed) > 0 || requests == 0 {
			t.Errorf("of %d requests failed, by status (0 is none): %v", requests, failed)
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestAControllerKilledInAStormLeavesNoTrace(t *testing.T) {
	rounds := *kills * 2
	undisturbed := storm(t, rounds, func(int) {})
	traffic(t)
	storm(t, 1, func(int) {})
	disturbed := storm(t, rounds, func(round int) {
		if round%2 != 0 {
			return
		}
		killed, err := cluster.Kill(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = rig.Eventually(t.Context(), time.Minute, func() error {
			leader, err := cluster.Leader(t.Context())
			if err == nil && leader == killed {
				err = fmt.Errorf("%s, which was killed, still leads", leader)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if !disturbed.Same(undisturbed) {
		t.Errorf("the bundle is not that of an undisturbed run: %v, not %v", disturbed.Parts, undisturbed.Parts)
	}
}

func TestDeletedConfigMapsAreMadeAgain(t *testing.T) {
	before, err := cluster.Settled(t.Context(), time.Second, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	traffic(t)
	for _, name := range []string{rig.RoutesPart(), rig.ManifestName} {
		if err := cluster.Delete(t.Context(), rig.ConfigMaps, name); err != nil {
			t.Fatal(err)
		}
		after, err := cluster.Settled(t.Context(), time.Second, time.Minute)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !after.Same(before) {
			t.Errorf("%s deleted: the bundle holds %v, not %v", name, after.Parts, before.Parts)
		}
		if after.Counter < before.Counter {
			t.Errorf("%s deleted: the bundle's number went back from %d to %d", name, before.Counter, after.Counter)
		}
	}
	// Agents take what comes next.
	storm(t, 1, func(int) {})
	storm(t, 2, func(int) {})
	err = rig.Eventually(t.Context(), 20*time.Second, func() error {
		answer, err := cluster.Get("storm-0.example", "/")
		if err == nil && answer.Version != "1-0" {
			err = fmt.Errorf("a change after that is not in effect: version %q", answer.Version)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestARotatedSecretIsServedAtOnce(t *testing.T) {
	const host, rotations = "secure.example", 20
	ctx := t.Context()
	authority, err := rig.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	issue := func(serial int64) map[string]any {
		data, err := authority.Issue(host, serial)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{"type": "kubernetes.io/tls", "data": data}
	}
	secret := issue(100)
	secret["apiVersion"], secret["kind"] = "v1", "Secret"
	secret["metadata"] = map[string]any{"name": rig.SecretName, "namespace": rig.Namespace}
	// As JSON writes it.
	secret["data"] = encoded(secret["data"].(map[string][]byte))
	route := rig.Route{Name: "secure", Host: host, Path: "/", Backend: "b", Listener: "https"}
	if err := errors.Join(
		cluster.Create(ctx, rig.Secrets, secret), cluster.Create(ctx, rig.Routes, route.Object()),
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
	load(t, client, host)
	began := time.Now()
	for serial := int64(101); serial <= 100+rotations; serial++ {
		patch, _ := json.Marshal(issue(serial))
		if err := cluster.Merge(ctx, rig.Secrets, rig.SecretName, string(patch)); err != nil {
			t.Fatal(err)
		}
		served(serial)
	}
	t.Logf("a new certificate is served after %s, on average", time.Since(began)/rotations)
}

func encoded(data map[string][]byte) map[string]any {
	texts := map[string]any{}
	for name, bytes := range data {
		texts[name] = base64.StdEncoding.EncodeToString(bytes)
	}
	return texts
}

// With one pod, requests cannot but fail while its Envoy starts; before and after that they must not.
func TestWithoutAnAPIServerContainersStartAgain(t *testing.T) {
	before, err := cluster.Settled(t.Context(), time.Second, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	envoy, agent, err := cluster.DataPlane(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	component(t, "stop")
	t.Cleanup(func() { component(t, "start") })
	began := time.Now()
	stop := traffic(t)
	time.Sleep(*outage / 4)
	stop()
	for _, process := range []rig.Process{agent, envoy} {
		name := process.String()
		if err := process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		// It may answer for a moment after its end was asked for.
		time.Sleep(100 * time.Millisecond)
		err := rig.Eventually(t.Context(), 30*time.Second, func() error {
			for range 20 {
				if answer, err := cluster.Get(goodHost, "/"); err != nil || answer.Status != http.StatusOK {
					return fmt.Errorf("status %d, %v", answer.Status, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("not served again after %s was killed: %v", name, err)
		}
		t.Logf("%s killed: served %s after that", name, time.Since(killed).Round(time.Millisecond))
		time.Sleep(2 * time.Second)
	}
	traffic(t)
	time.Sleep(*outage - min(*outage, time.Since(began)))
	component(t, "start")
	after, err := cluster.Settled(t.Context(), 15*time.Second, 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if !after.Same(before) {
		t.Errorf("the bundle holds %v, not %v", after.Parts, before.Parts)
	}
}

// component stops or starts the API server.
func component(t *testing.T, verb string) {
	t.Helper()
	output, err := exec.Command("cluster", verb, "kube-apiserver").CombinedOutput()
	if err != nil {
		t.Errorf("cluster %s kube-apiserver: %v: %s", verb, err, output)
	}
}
