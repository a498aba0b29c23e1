//go:debug x509usefallbackroots=1
package servicebus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/lineage"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// authority is the only one that this test binary trusts, in place of the
// system's.
var authority = newAuthority()

func newAuthority() tls.Certificate {
	c, err := certify(nil, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	if err != nil {
		panic(err)
	}
	return c
}

// certify makes a certificate, signed by another or by itself.
func certify(by *tls.Certificate, c *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := c, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(raw)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}, err
}

// overTLS opens a broker's queue over TLS, with the connection string that a
// namespace in Azure has.
func overTLS(t *testing.T, c *x509.Certificate) *servicebus.Client {
	t.Helper()
	certificate, err := certify(&authority, c)
	if err != nil {
		t.Fatal(err)
	}
	s := broker.New(broker.Options{Queues: map[string]broker.Queue{"q": {}}})
	t.Cleanup(s.Close)
	if err := s.StartTLS("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}}); err != nil {
		t.Fatal(err)
	}
	client, err := servicebus.Open(servicebus.Options{
		ConnectionString: strings.TrimSuffix(s.ConnectionString(), ";UseDevelopmentEmulator=true"), Queue: "q",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestTLS(t *testing.T) {
	c := overTLS(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err := c.Queue().Send(t.Context(), []lineage.Message{message("a")}); err != nil {
		t.Fatal(err)
	}
	ds, err := c.Queue().Receive(t.Context(), 1)
	if err != nil || ds[0].ID != "a" {
		t.Fatalf("received %+v, %v", ds, err)
	}
	if err := c.Queue().Settle(t.Context(), []lineage.Settlement{{Lease: ds[0].Lease}}); err != nil {
		t.Error(err)
	}
}

func TestTLSToSomebodyElse(t *testing.T) {
	c := overTLS(t, &x509.Certificate{DNSNames: []string{"evil.example"}})
	err := c.Queue().Send(t.Context(), []lineage.Message{message("a")})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("sent to a host that is not what it should be: %v", err)
	}
}
