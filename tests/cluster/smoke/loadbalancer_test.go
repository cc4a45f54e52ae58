package smoke

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const addressPath = ".status.loadBalancer.ingress[*].ip"

// service makes one of type LoadBalancer that asks for an address; an empty one asks for none.
func service(t *testing.T, name, address string) {
	t.Helper()
	apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s}
spec:
  type: LoadBalancer
  loadBalancerIP: %q
  selector: {app: envoy}
  ports: [{port: 80, targetPort: http}]
`, name, namespace, address))
}

func addressOf(t *testing.T, name string) (address string) {
	t.Helper()
	eventually(t, 10*time.Second, func() error {
		var err error
		address, err = try("", "get", "service/"+name, "-o", "jsonpath={"+addressPath+"}")
		if err == nil && address == "" {
			err = fmt.Errorf("Service %s has no address", name)
		}
		return err
	})
	return address
}

func refused(t *testing.T, name, because string) {
	t.Helper()
	eventually(t, 10*time.Second, func() error {
		message, err := try("", "get", "service/"+name,
			"-o", "jsonpath={.status.conditions[?(@.type=='AddressAssigned')].message}")
		if err == nil && !strings.Contains(message, because) {
			err = fmt.Errorf("Service %s: the condition says %q, expected %q", name, message, because)
		}
		return err
	})
	if err := field("service/"+name, addressPath, ""); err != nil {
		t.Error(err)
	}
	eventually(t, 10*time.Second, func() error {
		events, err := try("", "events", "--for=service/"+name)
		if err == nil && !(strings.Contains(events, "AddressRefused") && strings.Contains(events, because)) {
			err = fmt.Errorf("Service %s: no Event says %q: %s", name, because, events)
		}
		return err
	})
}

func TestTheLoadBalancersAddressAnswers(t *testing.T) {
	address := addressOf(t, "envoy")
	if !netip.MustParsePrefix("10.98.0.0/24").Contains(netip.MustParseAddr(address)) {
		t.Fatalf("%s is not in the pool", address)
	}
	for _, pod := range pods(t) {
		eventually(t, 20*time.Second, func() error { return get("http://"+address, pod) })
	}
}

func TestAnAddressThatIsAskedForIsGiven(t *testing.T) {
	service(t, "asks", "10.98.0.200")
	if address := addressOf(t, "asks"); address != "10.98.0.200" {
		t.Fatalf("got %s", address)
	}
	eventually(t, 20*time.Second, func() error { return get("http://10.98.0.200", "envoy-") })
	service(t, "asks", "10.98.0.201")
	eventually(t, 10*time.Second, func() error { return field("service/asks", addressPath, "10.98.0.201") })
}

func TestAnAddressOutsideOfThePoolIsRefused(t *testing.T) {
	service(t, "outside", "192.0.2.1")
	refused(t, "outside", "192.0.2.1 is not one of 10.98.0.0/24")
}

func TestAnAddressThatIsTakenComesFreeWithItsOwner(t *testing.T) {
	service(t, "first", "10.98.0.210")
	addressOf(t, "first")
	service(t, "second", "10.98.0.210")
	refused(t, "second", "10.98.0.210 belongs to Service smoke/first")
	kubectl(t, "delete", "service/first")
	if address := addressOf(t, "second"); address != "10.98.0.210" {
		t.Fatalf("got %s", address)
	}
	kubectl(t, "patch", "service/second", "--type=merge", "-p", `{"spec":{"type":"ClusterIP","loadBalancerIP":null}}`)
	eventually(t, 10*time.Second, func() error { return field("service/second", addressPath, "") })
}
