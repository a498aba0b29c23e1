package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/boot"
)

// TestPoliciesAreLoadedAgainAndABadFileIsRefused changes the file under a
// running service.
func TestPoliciesAreLoadedAgainAndABadFileIsRefused(t *testing.T) {
	config := filepath.Join(t.TempDir(), "policies.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	policy := "policies: [{name: %s, on: [job.failed], then: [{review: {}}]}]\n"
	write(fmt.Sprintf(policy, "first"))
	s := serve(t, t.TempDir(), "--config", config)

	inForce := func(name string, refused bool) func() error {
		return func() error {
			var p struct {
				Names     []string
				LastError string
			}
			if err := s.Get("/api/v1/policies", &p); err != nil {
				return err
			}
			if !slices.Equal(p.Names, []string{name}) || (p.LastError != "") != refused {
				return fmt.Errorf("in force: %v, refused: %q", p.Names, p.LastError)
			}
			return nil
		}
	}
	boot.Eventually(t, 10*time.Second, "the first file is in force", inForce("first", false))
	write("policies: [{name: broken, on: [no.such.kind]}]\n")
	boot.Eventually(t, 10*time.Second, "the bad file is refused and the first stays", inForce("first", true))
	ready, err := s.Read("/readyz")
	if err != nil || !strings.Contains(string(ready), "refused") {
		t.Errorf("readiness does not say so: %s %v", ready, err)
	}
	m, err := s.metrics()
	if err != nil || m["modelwarden_policy_last_reload_successful"] != 0 || m[`modelwarden_policy_reloads_total{result="failure"}`] < 1 {
		t.Errorf("the metrics do not say so: %v", err)
	}
	write(fmt.Sprintf(policy, "second"))
	boot.Eventually(t, 10*time.Second, "the good file is in force", inForce("second", false))
}
