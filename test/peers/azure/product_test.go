//go:build peers

package azure

import (
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/test/boot"
)

func TestMain(m *testing.M) { boot.Main(m) }

// TestTheProductAmongPeers runs the real binary on the Azure engines, has the
// JavaScript SDKs feed it on every way that events take in Azure, and read
// what it wrote.
func TestTheProductAmongPeers(t *testing.T) {
	r := serve(t)
	env := r.environment()
	for name, value := range env {
		if strings.HasPrefix(name, "MODELWARDEN_") {
			t.Setenv(name, value) // for the service, which inherits it
		}
	}
	t.Setenv("SSL_CERT_FILE", r.certificate)
	s := boot.Serve(t, t.TempDir(), "")
	env["PEERS_MODELWARDEN"], env["PEERS_QUEUE"] = s.URL, spareQueue
	env["PEERS_SUBSCRIBER"] = serveSubscriber(t).URL
	runNode(t, "product.test.mjs", env)
	s.Alive(t)
}

// serveSubscriber starts a service that only takes events in, into the spare
// queue that nobody works on.
func serveSubscriber(t *testing.T) *boot.Server {
	t.Helper()
	t.Setenv("MODELWARDEN_SERVICEBUS_QUEUE", spareQueue)
	for _, name := range []string{"ENDPOINT", "TOPIC", "SUBSCRIPTION", "KEY"} {
		t.Setenv("MODELWARDEN_PULL_"+name, "")
	}
	return boot.Serve(t, t.TempDir(), "", "--roles", "subscriber")
}
