package faults

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatewasm/tests/live/rig"
)

//go:embed invalid.yaml
var invalid string

// What is wrong with one object is said of that object, and changes nothing for 100 good routes.
func TestInvalidObjectsHarmNobodyElse(t *testing.T) {
	const good = 100
	ctx := t.Context()
	routes := rig.Numbered("fine", 0, good, rig.To("b"))
	_, err := cluster.CreateRoutes(ctx, routes)
	must(t, err)
	_, err = cluster.Until(ctx, changing+1+good, time.Minute)
	must(t, err)
	hosts := make([]string, 0, good)
	client := cluster.NewClient(8)
	for _, route := range routes {
		eventually(t, 20*time.Second, func() error { return serves(cluster, route.Host) })
		hosts = append(hosts, route.Host)
	}
	check := undisturbed(t)
	stop := load(t, client, hosts...)
	for i, text := range strings.Split(invalid, "\n=== ")[1:] {
		header, manifest, _ := strings.Cut(text, "\n")
		its := strings.Fields(header)
		t.Run(its[0], func(t *testing.T) {
			kubectl(t, manifest, "apply", "-f", "-")
			if len(its) == 4 {
				said(t, its[1], its[2], its[3])
			} else {
				time.Sleep(time.Second)
			}
			kubectl(t, manifest, "delete", "-f", "-")
			// The last ones of a long list find the state of the first.
			if i%5 == 4 {
				check()
			}
		})
	}
	check()
	stop()
	must(t, cluster.DeleteSet(ctx, "fine"))
	_, err = cluster.Until(ctx, changing+1, time.Minute)
	must(t, err)
}

// said waits until a status of the object says what is wrong, with this reason, and with a message.
func said(t *testing.T, object, kind, reason string) {
	t.Helper()
	const conditions = `{range ..conditions[*]}{.type} {.reason} {.message}{"\n"}{end}`
	took := eventually(t, 20*time.Second, func() error {
		text, err := rig.Kubectl("", "-n", rig.Namespace, "get", object, "-o", "jsonpath="+conditions)
		if err != nil {
			return err
		}
		for line := range strings.Lines(text) {
			message, found := strings.CutPrefix(line, kind+" "+reason+" ")
			if found && len(message) > 10 {
				return nil
			}
		}
		return fmt.Errorf("%s has no condition %s with reason %s:\n%s", object, kind, reason, text)
	})
	t.Logf("%s: %s after %s", object, reason, took.Round(time.Millisecond))
}
