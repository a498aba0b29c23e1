package effect

import (
	"context"
	"crypto/x509"
	"net"
)

// TrustMail makes an e-mail target trust these authorities instead of the
// system's.
func TrustMail(t Ticketer, roots *x509.CertPool) { t.(*email).tlsConfig.RootCAs = roots }

// ConnectMail gives an e-mail target the connection that it would dial.
func ConnectMail(t Ticketer, conn net.Conn) {
	t.(*email).dial = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
}
