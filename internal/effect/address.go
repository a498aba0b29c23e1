package effect

import "net/netip"

// class is what kind of place an IP address is.
type class int

const (
	public class = iota
	loopback
	private
	// guarded are addresses that hand out credentials or configuration to
	// whoever asks (instance metadata, the Azure wire server), and link-local
	// ones in general. Naming a host is not enough to reach them.
	guarded
	// unusable addresses are no one's: unspecified, multicast, reserved.
	unusable
)

// String names the class in an error.
func (c class) String() string {
	return [...]string{"a public", "a loopback", "a private", "a link-local or metadata", "an unusable"}[c]
}

// special are the address blocks that are not public, the first match wins.
// Sources: the IANA special-purpose address registries; Azure's wire server
// from Microsoft's "What is IP address 168.63.129.16".
var special = []struct {
	prefix netip.Prefix
	class  class
}{
	{netip.MustParsePrefix("169.254.0.0/16"), guarded}, // metadata lives here
	{netip.MustParsePrefix("168.63.129.16/32"), guarded},
	{netip.MustParsePrefix("100.100.100.200/32"), guarded},
	{netip.MustParsePrefix("fd00:ec2::254/128"), guarded},
	{netip.MustParsePrefix("fe80::/10"), guarded},
	{netip.MustParsePrefix("127.0.0.0/8"), loopback},
	{netip.MustParsePrefix("::1/128"), loopback},
	{netip.MustParsePrefix("10.0.0.0/8"), private},
	{netip.MustParsePrefix("172.16.0.0/12"), private},
	{netip.MustParsePrefix("192.168.0.0/16"), private},
	{netip.MustParsePrefix("100.64.0.0/10"), private}, // carrier-grade NAT
	{netip.MustParsePrefix("192.0.0.0/24"), private},
	{netip.MustParsePrefix("198.18.0.0/15"), private},
	{netip.MustParsePrefix("fc00::/7"), private},
	{netip.MustParsePrefix("fec0::/10"), private},
	{netip.MustParsePrefix("64:ff9b:1::/48"), private}, // local NAT64
	{netip.MustParsePrefix("0.0.0.0/8"), unusable},
	{netip.MustParsePrefix("192.0.2.0/24"), unusable},
	{netip.MustParsePrefix("198.51.100.0/24"), unusable},
	{netip.MustParsePrefix("203.0.113.0/24"), unusable},
	{netip.MustParsePrefix("224.0.0.0/4"), unusable},
	{netip.MustParsePrefix("240.0.0.0/4"), unusable},
	{netip.MustParsePrefix("::/96"), unusable}, // unspecified, IPv4-compatible
	{netip.MustParsePrefix("100::/64"), unusable},
	{netip.MustParsePrefix("2001::/32"), unusable}, // Teredo
	{netip.MustParsePrefix("2001:db8::/32"), unusable},
	{netip.MustParsePrefix("ff00::/8"), unusable},
}

// Blocks whose addresses carry an IPv4 address, and at which byte.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// classify tells what kind of place an address is. An IPv6 form of an IPv4
// address (mapped, NAT64, 6to4) is what the IPv4 address is.
func classify(a netip.Addr) class {
	a = innermost(a)
	for _, s := range special {
		if s.prefix.Contains(a) {
			return s.class
		}
	}
	if !a.IsValid() {
		return unusable
	}
	return public
}

// innermost strips the zone and unwraps IPv4 addresses.
func innermost(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}
