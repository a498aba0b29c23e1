//go:build peers

// Package azure proves that the in-process Azure servers are no mirror of the
// Go SDKs: Microsoft's JavaScript SDKs, which share no code with those, work
// against the same servers, and against what the product keeps in them. Node
// and npm must be installed; test/peers/run sees to that.
package azure

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/local/stack"
	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

func TestServiceBus(t *testing.T) { runNode(t, "servicebus.test.mjs", serve(t).environment()) }
func TestCosmos(t *testing.T)     { runNode(t, "cosmos.test.mjs", serve(t).environment()) }
func TestEventGrid(t *testing.T)  { runNode(t, "eventgrid.test.mjs", serve(t).environment()) }
func TestNamespaces(t *testing.T) { runNode(t, "namespaces.test.mjs", serve(t).environment()) }

// spareQueue is a queue beside the product's.
const spareQueue = "peers-spare"

// rig is a stack of servers with what the scripts need beside it.
type rig struct {
	*stack.Stack
	control     string // URL
	certificate string // file
}

// serve starts the servers until the test ends.
func serve(t *testing.T) *rig {
	t.Helper()
	s, err := stack.Start(stack.Options{Queues: map[string]servicebus.Queue{spareQueue: {}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{Stack: s, certificate: filepath.Join(t.TempDir(), "certificate.pem")}
	if err := os.WriteFile(r.certificate, s.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.control = r.serveControl(t)
	return r
}

// environment is what a script is told.
func (r *rig) environment() map[string]string {
	env := maps.Clone(r.Environment())
	env["PEERS_CONTROL"], env["NODE_EXTRA_CA_CERTS"] = r.control, r.certificate
	return env
}

// limit bounds npm and each script.
const limit = 2 * time.Minute

// install puts the SDKs of package-lock.json into node_modules, once.
var install = sync.OnceValues(func() (output []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline").CombinedOutput()
})

// allPassed is the end of TAP output: something ran, and nothing failed or was
// left out.
var allPassed = regexp.MustCompile(`# pass [1-9]\d*\n# fail 0\n# cancelled 0\n# skipped 0\n# todo 0\n`)

// runNode runs the tests in one script.
func runNode(t *testing.T, script string, env map[string]string) {
	t.Helper()
	if out, err := install(); err != nil {
		t.Fatalf("npm ci: %v (test/peers/run installs npm)\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=tap", script)
	cmd.Env = os.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !allPassed.Match(out) {
		t.Errorf("node --test %s: %v\n%s", script, err, out)
	}
}
