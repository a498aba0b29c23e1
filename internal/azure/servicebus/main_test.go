package servicebus_test

import (
	"crypto/x509"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	x509.SetFallbackRoots(roots)
	goleak.VerifyTestMain(m)
}
