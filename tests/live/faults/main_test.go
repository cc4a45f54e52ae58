// Package faults breaks what gatewasm relies on, one thing at a time, in the test cluster. Requests to good routes go on
// all the while and none may fail; afterwards the data plane has what it would have without the fault, by the hashes of
// what its bundle holds. With -test.short everything is done less often and waited for less long.
package faults

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

var cluster *rig.Cluster

const (
	goodHost = "good.example"
	// The bundle is what it will be when it did not change for so long.
	quiet = 2 * time.Second
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

// pick is the first of two, or the second in the short form.
func pick[T any](long, short T) T {
	if testing.Short() {
		return short
	}
	return long
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, limit time.Duration, ask func() error) time.Duration {
	t.Helper()
	began := time.Now()
	must(t, rig.Eventually(t.Context(), limit, ask))
	return time.Since(began)
}

func kubectl(t *testing.T, input string, arguments ...string) string {
	t.Helper()
	output, err := rig.Kubectl(input, arguments...)
	must(t, err)
	return output
}

// patch changes one field of an object.
func patch(t *testing.T, field string, value any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{field: value})
	must(t, err)
	return string(text)
}

// installation is what gatewasm is installed from.
func installation(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("manifests/install.yaml")
	must(t, err)
	return string(text)
}
