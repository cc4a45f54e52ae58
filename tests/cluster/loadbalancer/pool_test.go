package loadbalancer

import (
	"net/netip"
	"strings"
	"testing"
)

func expectNext(t *testing.T, p *pool, owner, expected string) {
	t.Helper()
	address, err := p.next(owner)
	if err != nil || address.String() != expected {
		t.Fatalf("%s got %s (%v), expected %s", owner, address, err, expected)
	}
}

func expectRefusal(t *testing.T, err error, expected string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), expected) {
		t.Fatalf("got %v, expected an error that says %q", err, expected)
	}
}

func TestAddressesGoRoundInOrder(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.98.0.0/29"))
	for i, owner := range []string{"a", "b", "c", "d", "e", "f"} {
		expectNext(t, p, owner, "10.98.0."+string(rune('1'+i)))
	}
	_, err := p.next("g")
	expectRefusal(t, err, "every address of 10.98.0.0/29 is taken")
	if !p.release("b") || !p.release("e") || p.release("e") {
		t.Fatal("b and e had one address each")
	}
	expectNext(t, p, "g", "10.98.0.2")
	expectNext(t, p, "h", "10.98.0.5")
}

func TestAnAddressIsGivenBackBeforeItIsUsedAgainLast(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.98.0.0/29"))
	expectNext(t, p, "a", "10.98.0.1")
	p.release("a")
	expectNext(t, p, "b", "10.98.0.2")
}

func TestClaims(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.98.0.0/29"))
	address := netip.MustParseAddr("10.98.0.3")
	if err := p.claim("a", address); err != nil {
		t.Fatal(err)
	}
	if err := p.claim("a", address); err != nil {
		t.Fatalf("what one has already: %v", err)
	}
	expectRefusal(t, p.claim("b", address), "belongs to Service a")
	for _, outside := range []string{"10.98.0.0", "10.98.0.7", "10.98.0.8", "192.0.2.1", "2001:db8::1"} {
		expectRefusal(t, p.claim("b", netip.MustParseAddr(outside)), "is not one of 10.98.0.0/29")
	}
	if err := p.claim("a", netip.MustParseAddr("10.98.0.4")); err != nil {
		t.Fatal(err)
	}
	if err := p.claim("b", address); err != nil {
		t.Fatalf("a has another one now: %v", err)
	}
}
