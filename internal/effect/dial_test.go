package effect

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestAddressesAreClassified(t *testing.T) {
	for want, addrs := range map[class][]string{
		public: {"8.8.8.8", "20.50.2.1", "2603:1030::1", "172.32.0.1", "100.128.0.1", "64:ff9b::808:808", "2002:808:808::1"},
		loopback: {
			"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
		},
		private: {
			"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd12::1", "fc00::1", "fec0::1",
			"::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::", "198.18.0.1", "192.0.0.8",
		},
		guarded: {
			"169.254.169.254", "169.254.0.1", "168.63.129.16", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "100.100.100.200",
			"::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
		},
		unusable: {
			"0.0.0.0", "0.1.2.3", "::", "::127.0.0.1", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1",
			"192.0.2.1", "2001:db8::1", "2001::1",
		},
	} {
		for _, a := range addrs {
			if got := classify(netip.MustParseAddr(a)); got != want {
				t.Errorf("%s is %s address, want %s", a, got, want)
			}
		}
	}
	if classify(netip.Addr{}) != unusable {
		t.Error("no address at all is usable")
	}
}

// No way of writing an IPv4 address in IPv6 makes it more public.
func FuzzIPv6FormsHideNothing(f *testing.F) {
	for _, a := range []string{"127.0.0.1", "10.1.2.3", "169.254.169.254", "8.8.8.8", "0.0.0.0"} {
		b := netip.MustParseAddr(a).As4()
		f.Add(b[:])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) != 4 {
			return
		}
		v4 := netip.AddrFrom4([4]byte(raw))
		want := classify(v4)
		mapped := netip.AddrFrom16(v4.As16())
		nat := netip.MustParseAddr("64:ff9b::").As16()
		copy(nat[12:], raw)
		six := netip.MustParseAddr("2002::").As16()
		copy(six[2:], raw)
		for _, form := range []netip.Addr{mapped, netip.AddrFrom16(nat), netip.AddrFrom16(six)} {
			if got := classify(form); got != want {
				t.Errorf("%s is %s address, but as %s %s one", v4, want, form, got)
			}
		}
	})
}

func TestPermissions(t *testing.T) {
	for _, tc := range []struct {
		name, host, addr string
		d                Dialing
		refused          bool
	}{
		{name: "public", host: "ci.example", addr: "20.50.2.1"},
		{name: "private", host: "ci.internal", addr: "10.0.0.7", refused: true},
		{name: "private, host named", host: "CI.internal.", addr: "10.0.0.7", d: Dialing{AllowPrivate: []string{"ci.internal"}}},
		{name: "private, another host named", host: "ci.internal", addr: "10.0.0.7", d: Dialing{AllowPrivate: []string{"ci"}}, refused: true},
		{name: "private, address named", host: "ci.internal", addr: "10.0.0.7", d: Dialing{AllowPrivate: []string{"10.0.0.7"}}},
		{name: "private, block named", host: "ci.internal", addr: "10.0.0.7", d: Dialing{AllowPrivate: []string{"10.0.0.0/24"}}},
		{name: "private, mapped into IPv6", host: "ci.internal", addr: "::ffff:10.0.0.7", d: Dialing{AllowPrivate: []string{"10.0.0.0/24"}}},
		{name: "loopback", host: "localhost", addr: "127.0.0.1", refused: true},
		{name: "loopback allowed", host: "localhost", addr: "127.0.0.1", d: Dialing{AllowLoopback: true}},
		{name: "loopback allowed does not allow private", host: "x", addr: "10.0.0.1", d: Dialing{AllowLoopback: true}, refused: true},
		{name: "metadata behind a named host", host: "ci.internal", addr: "169.254.169.254", d: Dialing{AllowPrivate: []string{"ci.internal"}}, refused: true},
		{name: "metadata named itself", host: "imds", addr: "169.254.169.254", d: Dialing{AllowPrivate: []string{"169.254.169.254"}}},
		{name: "wire server behind a named host", host: "ci.internal", addr: "168.63.129.16", d: Dialing{AllowPrivate: []string{"ci.internal"}}, refused: true},
		{name: "multicast whatever is named", host: "m", addr: "224.0.0.1", d: Dialing{AllowPrivate: []string{"224.0.0.0/4", "m"}}, refused: true},
		{name: "unspecified whatever is named", host: "0.0.0.0", addr: "0.0.0.0", d: Dialing{AllowLoopback: true, AllowPrivate: []string{"0.0.0.0"}}, refused: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.d.Setting = "targets.hook.webhook.allowPrivate"
			a, err := newAllowance(tc.d)
			if err != nil {
				t.Fatal(err)
			}
			err = a.permit(tc.host, netip.MustParseAddr(tc.addr))
			var refused *DialError
			if errors.As(err, &refused) != tc.refused {
				t.Fatalf("got %v", err)
			}
			if tc.refused && classify(refused.Addr) != unusable && !strings.Contains(err.Error(), tc.d.Setting) {
				t.Errorf("the refusal does not name the setting: %v", err)
			}
		})
	}
}

func TestWrongAllowances(t *testing.T) {
	for _, s := range []string{"", "host:80", "10.0.0.0/99", "http://x/", "a b", "*.internal", "[::1]"} {
		if _, err := NewClient(Dialing{AllowPrivate: []string{s}}); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

// nameServer answers every question with the next of its addresses.
type nameServer struct {
	mu      sync.Mutex
	answers []string
	asked   int
}

func (n *nameServer) next() netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.answers[min(n.asked, len(n.answers)-1)]
	n.asked++
	return netip.MustParseAddr(a)
}

// resolver asks this server over a local socket.
func (n *nameServer) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { n.serve(conn) })
	t.Cleanup(func() { _ = conn.Close(); served.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n *nameServer) serve(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
		if q.Type == dnsmessage.TypeA {
			reply.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: n.next().As4()},
			}}
		}
		if packed, err := reply.Pack(); err == nil {
			_, _ = conn.WriteTo(packed, from)
		}
	}
}

func get(t *testing.T, client *http.Client, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func TestNamesThatLeadInsideAreRefused(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"127.0.0.1", "10.0.0.7", "169.254.169.254", "168.63.129.16"} {
		ns := &nameServer{answers: []string{to}}
		client, err := NewClient(Dialing{Resolver: ns.resolver(t), Setting: "targets.hook.webhook.allowPrivate"})
		if err != nil {
			t.Fatal(err)
		}
		var refused *DialError
		if err := get(t, client, "http://innocent.example.:"+port); !errors.As(err, &refused) || refused.Addr.String() != to {
			t.Errorf("a name for %s: %v", to, err)
		}
	}
}

// A name that was fine when a connection was first made may lead elsewhere
// when the next one is.
func TestNameThatChangesItsMindIsRefused(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }))
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ns := &nameServer{answers: []string{"127.0.0.1", "169.254.169.254"}}
	client, err := NewClient(Dialing{AllowLoopback: true, Resolver: ns.resolver(t), Setting: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if err := get(t, client, "http://rebinds.example.:"+port); err != nil {
		t.Fatalf("first: %v", err)
	}
	var refused *DialError
	if err := get(t, client, "http://rebinds.example.:"+port); !errors.As(err, &refused) {
		t.Errorf("second: %v", err)
	}
}

// A proxy would look names up where nobody checks the addresses. net/http
// reads the environment once per process, so the setting itself is checked.
func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	client, err := NewClient(Dialing{})
	if err != nil {
		t.Fatal(err)
	}
	transport, ok := client.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("the client may use a proxy")
	}
}
