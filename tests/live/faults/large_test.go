package faults

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

// As many rules as the largest gateways have, in routes of 16.
func TestAGatewayOfTwentyThousandRules(t *testing.T) {
	const routes, rules = 1250, 16
	if testing.Short() {
		t.Skip("it takes minutes, and nothing in it fails in another way when it is smaller")
	}
	ctx := t.Context()
	traffic(t)
	its := gateway(t, "large", listener("http", 80))
	programmed(t, its, time.Minute, yes)
	began := time.Now()
	must(t, rig.Each(routes, func(i int) error {
		name := fmt.Sprintf("large-%d", i)
		object := rig.Route{Name: name, Host: name + ".example", Gateway: its.Gateway, Set: "large"}.Object()
		var all []any
		for rule := range rules {
			all = append(all, rig.Rule(fmt.Sprintf("/r-%d", rule), "b", fmt.Sprintf("%d-%d", i, rule)))
		}
		object["spec"].(map[string]any)["rules"] = all
		return its.Create(ctx, rig.Routes, object)
	}))
	created := time.Now()
	attached, err := its.Until(ctx, routes, 5*time.Minute)
	must(t, err)
	// The last ones are created at the same time, in any order.
	client := its.NewClient(8)
	defer client.Close()
	for i := range routes {
		for _, rule := range []int{0, rules - 1} {
			host, path, version := fmt.Sprintf("large-%d.example", i), fmt.Sprintf("/r-%d", rule), fmt.Sprintf("%d-%d", i, rule)
			eventually(t, time.Minute, func() error {
				answer, err := client.Get(host, path)
				if err == nil && (answer.Status != http.StatusOK || answer.Version != version) {
					err = fmt.Errorf("%s%s is answered %d, version %q", host, path, answer.Status, answer.Version)
				}
				return err
			})
		}
	}
	programmed(t, its, time.Minute, yes)
	t.Logf("%d rules were created in %s, attached %s later, all served after that", routes*rules,
		created.Sub(began).Round(time.Second/10), attached.Sub(created).Round(time.Second/10))

	// One change among them.
	must(t, its.Merge(ctx, rig.Routes, "large-625", `{"spec": {"hostnames": ["changed.example"]}}`))
	took := eventually(t, time.Minute, func() error {
		answer, err := client.Get("changed.example", "/r-0")
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("status %d", answer.Status)
		}
		return err
	})
	t.Logf("one change among them is served after %s", took.Round(time.Millisecond))
	sizes(t, its)
	must(t, its.DeleteSet(ctx, "large"))
}

// As many certificates as there may be references in one Gateway, and more than fit into one Secret.
func TestAGatewayOfFiveHundredCertificates(t *testing.T) {
	const listeners, each = 50, 10
	if testing.Short() {
		t.Skip("it takes minutes, and nothing in it fails in another way when it is smaller")
	}
	ctx := t.Context()
	traffic(t)
	authority, err := rig.NewAuthority()
	must(t, err)
	host := func(i int) string { return fmt.Sprintf("c-%d.l-%d.example", i%each, i/each) }
	name := func(i int) string { return fmt.Sprintf("certificate-%d", i) }
	must(t, rig.Each(listeners*each, func(i int) error {
		data, err := authority.Issue(host(i), int64(1000+i))
		if err != nil {
			return err
		}
		return cluster.Create(ctx, rig.Secrets, secret(name(i), data))
	}))
	var all []any
	for l := range listeners {
		var references []any
		for i := range each {
			references = append(references, map[string]any{"name": name(l*each + i)})
		}
		all = append(all, map[string]any{
			"name": fmt.Sprintf("https-%d", l), "port": int64(443), "protocol": "HTTPS",
			"hostname": fmt.Sprintf("*.l-%d.example", l),
			"tls":      map[string]any{"certificateRefs": references},
		})
	}
	began := time.Now()
	its := gateway(t, "certificates", all...)
	programmed(t, its, 2*time.Minute, yes)
	t.Logf("a Gateway with %d certificates is programmed %s after it was created, its pod included",
		listeners*each, time.Since(began).Round(time.Second/10))
	for i := range listeners * each {
		var serial atomic.Int64
		client := its.NewTLSClient(authority, host(i), serial.Store)
		answer, err := client.Get(host(i), "/")
		if err != nil || answer.Status != http.StatusNotFound || serial.Load() != int64(1000+i) {
			t.Fatalf("%s is answered %d with certificate %d, not %d: %v", host(i), answer.Status, serial.Load(), 1000+i, err)
		}
	}
	// A host of nobody's has no certificate.
	if connection, err := tls.Dial("tcp", its.Address+":443", &tls.Config{ServerName: "nobody.example"}); err == nil {
		connection.Close()
		t.Error("a host without a certificate is served")
	}
	data, err := authority.Issue(host(0), 5000)
	must(t, err)
	must(t, cluster.Merge(ctx, rig.Secrets, name(0), patch(t, "data", secret(name(0), data)["data"])))
	var serial atomic.Int64
	client := its.NewTLSClient(authority, host(0), serial.Store)
	took := eventually(t, time.Minute, func() error {
		_, err := client.Get(host(0), "/")
		if err == nil && serial.Load() != 5000 {
			err = fmt.Errorf("certificate %d is served", serial.Load())
		}
		return err
	})
	t.Logf("one that is renewed is served after %s", took.Round(time.Millisecond))
	sizes(t, its)
}

// sizes says how large a bundle is, and what its data plane needs for it.
func sizes(t *testing.T, gateway *rig.Cluster) {
	t.Helper()
	bundle := settled(t, gateway)
	count, total, largest := map[string]int{}, map[string]int{}, 0
	for part := range bundle.Parts {
		text, err := gateway.PartText(t.Context(), part)
		must(t, err)
		kind := part[:strings.LastIndexByte(part, '-')]
		count[kind]++
		total[kind] += len(text)
		largest = max(largest, len(text))
	}
	for kind := range count {
		t.Logf("%d parts of %s, %d KiB", count[kind], kind, total[kind]/1024)
	}
	if largest > 1<<20 || len(bundle.Parts) < 5 {
		t.Errorf("%d parts, the largest of %d bytes", len(bundle.Parts), largest)
	}
	envoy, agent, err := gateway.DataPlane(t.Context())
	must(t, err)
	of := func(process rig.Process) float64 {
		resident, err := process.Resident()
		must(t, err)
		return resident
	}
	t.Logf("Envoy has %.0f MiB, its agent %.0f MiB", of(envoy), of(agent))
}
