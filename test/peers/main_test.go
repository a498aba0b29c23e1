//go:build peers

// Package peers runs the real binary beside the real programs that people put
// next to it: Prometheus, Alertmanager, Chromium and bash. A peer that is not installed
// fails its tests; test/peers/run installs all of them.
package peers

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/modelwarden/modelwarden/test/boot"
)

func TestMain(m *testing.M) { boot.Main(m) }

// server is one running service.
type server struct{ *boot.Server }

// serve starts the service on a free port; a token other than "" is demanded.
func serve(t *testing.T, token string, args ...string) *server {
	t.Helper()
	return &server{boot.Serve(t, t.TempDir(), token, args...)}
}

// count is the length of an API list that fits on one page.
func (s *server) count(path string) (int, error) {
	var page struct{ Items []json.RawMessage }
	err := s.Get(path, &page)
	return len(page.Items), err
}

// peer finds an installed program. Without it there is nothing to test, and
// that is a failure.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: run test/peers/run, which installs it", name)
	}
	return path
}
