package loadbalancer

import (
	"fmt"
	"net/netip"
)

// pool is who has which address. Addresses are handed out in order, round and round, so that one that was just given
// back is the last to be used again.
type pool struct {
	prefix netip.Prefix
	last   netip.Addr
	owners map[netip.Addr]string
}

func newPool(prefix netip.Prefix) *pool {
	prefix = prefix.Masked()
	return &pool{prefix: prefix, last: prefix.Addr(), owners: map[netip.Addr]string{}}
}

// claim gives this very address to the owner, in place of the one that it had.
func (p *pool) claim(owner string, address netip.Addr) error {
	if !p.hands(address) {
		return fmt.Errorf("%s is not one of %s", address, p.prefix)
	}
	if other, taken := p.owners[address]; taken && other != owner {
		return fmt.Errorf("%s belongs to Service %s", address, other)
	}
	p.release(owner)
	p.owners[address] = owner
	return nil
}

// next gives the owner the next free address.
func (p *pool) next(owner string) (netip.Addr, error) {
	for address := p.last.Next(); ; address = address.Next() {
		if !p.prefix.Contains(address) {
			address = p.prefix.Addr()
		}
		if _, taken := p.owners[address]; !taken && p.hands(address) {
			p.last = address
			return address, p.claim(owner, address)
		}
		if address == p.last {
			return netip.Addr{}, fmt.Errorf("every address of %s is taken", p.prefix)
		}
	}
}

// release says whether the owner had an address.
func (p *pool) release(owner string) bool {
	for address, its := range p.owners {
		if its == owner {
			delete(p.owners, address)
			return true
		}
	}
	return false
}

// hands says whether this address may be given to anybody: all but the first (the network) and the last (broadcast).
func (p *pool) hands(address netip.Addr) bool {
	return p.prefix.Contains(address) && address != p.prefix.Addr() && p.prefix.Contains(address.Next())
}
