package e2e

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const guide = "manifests/examples/guide/"

// The guide in a cluster, by the commands of its README.
func TestTheGuide(t *testing.T) {
	clear(t, "foo-ns", "bar-ns", "infra")
	uninstall(t)
	walk := begin(t, guide+"cluster/README.md")

	expect(t, walk.next(t, "1. Install"), `(?m)^gatewasm +gatewasm.dev/controller +True`)

	// Programmed, with an address; a pod and a Service that nobody has written.
	printed := walk.next(t, "2. A Gateway")
	address := expect(t, printed, `(?m)^web +gatewasm +([0-9.]+) +True`)[1]
	expect(t, printed, `(?m)^pod/gatewasm-web-\S+ +2/2 +Running`)
	expect(t, printed, `(?m)^service/gatewasm-web +LoadBalancer +\S+ +`+regexp.QuoteMeta(address)+` +80:`)
	web := site{address: net.JoinHostPort(address, "80")}

	expect(t, walk.next(t, "3. Routes"), `(?s)bar-ns +bar .*foo-ns +foo `)
	eventually(t, 10*time.Second, func() error { return web.serves("foo.example.com/foo", "", "foo-v1") })
	eventually(t, 10*time.Second, func() error { return web.serves("foo.example.com/foo", "canary", "foo-v2") })
	eventually(t, 10*time.Second, func() error { return web.serves("bar.example.com/bar", "", "bar") })

	printed = walk.next(t, "4. Ask")
	if asked := services.FindAllString(printed, -1); !slices.Equal(asked, []string{
		`"service": "foo-v1"`, `"service": "foo-v2"`, `"service": "bar"`,
	}) {
		t.Fatalf("answered by %v", asked)
	}
	expect(t, printed, `(?m)^HTTP/1.1 404 Not Found`)

	printed = walk.next(t, "5. Ask why")
	expect(t, printed, `(?m)^infra/web/http +foo.example.com .* env=canary .*foo-ns/foo-v2/8080`)
	expect(t, printed, `(?m)^infra/web/http +bar.example.com .*bar-ns/bar/8080`)

	walk.next(t, "6. Shift weight: 80/20")
	eventually(t, 10*time.Second, func() error {
		if share, err := web.shareOf("foo-v2", 50); err != nil || share == 0 {
			return fmt.Errorf("foo-v2 has %v %%: %v", share, err)
		}
		return nil
	})
	share, err := web.shareOf("foo-v2", 2000)
	if err != nil || share < 16 || share > 24 {
		t.Fatalf("foo-v2 has %v %%, expected 20: %v", share, err)
	}
	t.Logf("80/20: foo-v2 has %.1f %%", share)
	if err := web.serves("foo.example.com/foo", "canary", "foo-v2"); err != nil {
		t.Fatal("the canary:", err)
	}

	walk.next(t, "7. Shift weight: 0/100")
	eventually(t, 10*time.Second, func() error {
		if share, err := web.shareOf("foo-v2", 50); err != nil || share < 100 {
			return fmt.Errorf("foo-v2 has %v %%: %v", share, err)
		}
		return nil
	})
	if share, err := web.shareOf("foo-v2", 2000); err != nil || share < 100 {
		t.Fatalf("foo-v2 has %v %%, expected 100: %v", share, err)
	}

	expect(t, walk.next(t, "8. HTTPS"), `"service": "foo-v2"`)
	if err := web.serves("bar.example.com/bar", "", "bar"); err != nil {
		t.Fatal("cleartext:", err)
	}

	// The route says what it is not allowed, by whom, and where.
	printed = walk.next(t, "9. Who may attach")
	expect(t, printed, `(?m)^spec.parentRefs\[0\]: .*"bar-ns".*allowedRoutes`)
	expect(t, printed, `(?m)^HTTP/1.1 404 Not Found`)
	expect(t, printed, `"service": "foo-v2"`)

	before := objects(t, "infra")
	if len(before) < 8 {
		t.Fatalf("the Gateway has only %v", before)
	}
	walk.next(t, "10. Take the Gateway away")
	took := eventually(t, 90*time.Second, func() error {
		if left := objects(t, "infra"); !slices.Equal(left, []string{"secrets/web-certificate"}) {
			return fmt.Errorf("left behind: %v", left)
		}
		return nil
	})
	t.Logf("%d objects were gone after %s", len(before)-1, took.Round(time.Second/10))

	walk.next(t, "11. Take everything away")
	walk.end(t)
	left := kubectl(t, "get", "namespaces,clusterroles,clusterrolebindings", "-o", "name")
	expectNone(t, left, `gatewasm|infra|-ns$`)
}

// expect finds a pattern in what was printed.
func expect(t *testing.T, printed, pattern string) []string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(printed)
	if found == nil {
		t.Fatalf("no %s in\n%s", pattern, printed)
	}
	return found
}

func expectNone(t *testing.T, printed, pattern string) {
	t.Helper()
	if found := regexp.MustCompile(`(?m)^.*(` + pattern + `).*$`).FindString(printed); found != "" {
		t.Fatalf("still there: %s", found)
	}
}

// objects are all of a namespace, `secrets/web`, but for those that every namespace has, Events and owned ones of others.
func objects(t *testing.T, namespace string) (names []string) {
	t.Helper()
	kinds := kubectl(t, "api-resources", "--verbs=list", "--namespaced", "-o", "name")
	for kind := range strings.FieldsSeq(kinds) {
		if strings.HasPrefix(kind, "events") || strings.HasPrefix(kind, "pods.metrics") {
			continue
		}
		for object := range strings.FieldsSeq(kubectl(t, "-n", namespace, "get", kind, "-o", "name")) {
			if object != "configmap/kube-root-ca.crt" && object != "serviceaccount/default" {
				plural, _, _ := strings.Cut(kind, ".")
				_, name, _ := strings.Cut(object, "/")
				names = append(names, plural+"/"+name)
			}
		}
	}
	slices.Sort(names)
	return names
}
