package effect

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Dialing says where a target's connections may go.
type Dialing struct {
	// AllowLoopback permits loopback addresses: for a service that listens
	// on loopback itself.
	AllowLoopback bool
	// AllowPrivate names hosts ("ci.internal"), addresses ("10.0.0.7") or
	// blocks ("10.0.0.0/24") that may be reached though they are not public.
	// A host name opens loopback and private addresses; link-local and
	// metadata addresses must be named as an address or block.
	AllowPrivate []string
	// Setting is where the configuration says AllowPrivate, for the error.
	Setting string
	// Resolver looks names up; nil is the system's.
	Resolver *net.Resolver
}

// DialError is the refusal to connect to an address that a target's
// configuration does not allow.
type DialError struct {
	Host    string
	Addr    netip.Addr
	class   class
	setting string
}

// Error implements error. It names the setting that allows the address.
func (e *DialError) Error() string {
	msg := fmt.Sprintf("refused to connect: %s is %s address", e.Addr, e.class)
	if e.Host != e.Addr.String() {
		msg = fmt.Sprintf("refused to connect to %s: %s is %s address", e.Host, e.Addr, e.class)
	}
	switch e.class {
	case unusable:
		return msg
	case guarded:
		return fmt.Sprintf("%s; if that is meant, list %q under %s", msg, e.Addr, e.setting)
	default:
		return fmt.Sprintf("%s; if that is meant, list %q under %s", msg, e.Host, e.setting)
	}
}

// allowance is a read Dialing.
type allowance struct {
	loopback bool
	hosts    map[string]bool
	blocks   []netip.Prefix
	setting  string
}

func newAllowance(d Dialing) (*allowance, error) {
	a := &allowance{loopback: d.AllowLoopback, hosts: map[string]bool{}, setting: d.Setting}
	for _, s := range d.AllowPrivate {
		if strings.Contains(s, "/") {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return nil, fmt.Errorf("allowPrivate: %q is not an address block such as 10.0.0.0/24", s)
			}
			a.blocks = append(a.blocks, p.Masked())
			continue
		}
		if ip, err := netip.ParseAddr(s); err == nil {
			ip = innermost(ip)
			a.blocks = append(a.blocks, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		if s == "" || strings.ContainsAny(s, ":@ *") {
			return nil, fmt.Errorf("allowPrivate: %q: want a host name without a port, an address, or a block", s)
		}
		a.hosts[canonicalHost(s)] = true
	}
	return a, nil
}

func canonicalHost(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// permit decides about one address that a host resolved to.
func (a *allowance) permit(host string, ip netip.Addr) error {
	c := classify(ip)
	for _, b := range a.blocks {
		if c != unusable && b.Contains(innermost(ip)) {
			return nil
		}
	}
	switch {
	case c == public, c == loopback && a.loopback:
		return nil
	case (c == loopback || c == private) && a.hosts[canonicalHost(host)]:
		return nil
	}
	return &DialError{Host: host, Addr: ip, class: c, setting: a.setting}
}

// dial connects to host:port. The check runs on the socket's own address,
// after the name was looked up and before a packet leaves, so a name that
// changes its mind between check and use gains nothing.
func (a *allowance) dial(r *net.Resolver) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{
			Timeout:  10 * time.Second,
			Resolver: r,
			Control: func(_, address string, _ syscall.RawConn) error {
				ap, err := netip.ParseAddrPort(address)
				if err != nil {
					return fmt.Errorf("resolved address %q: %w", address, err)
				}
				return a.permit(host, ap.Addr())
			},
		}
		return d.DialContext(ctx, network, addr)
	}
}

// NewClient makes the HTTP client of one target. It connects only where
// Dialing allows, follows no redirects, ignores the environment's proxies
// (which would resolve names where nobody checks them) and sends no cookies.
// Deadlines are the context's.
func NewClient(d Dialing) (*http.Client, error) {
	a, err := newAllowance(d)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            a.dial(d.Resolver),
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // a bounded read must bound memory
			MaxIdleConnsPerHost:    4,
			MaxConnsPerHost:        32,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
