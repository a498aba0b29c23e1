package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/boot"
)

const orderPolicies = `
policies:
  - name: churn-drift
    on: [monitor.breached]
    then: [{review: {severity: warning}}]
targets:
  hook: {webhook: {url: "%s/retrain", secretEnv: HOOK_SECRET}}
`

// TestAPersonRetrainsFromAReview asks for a retrain, on the command line and by
// a form whose button was pressed twice.
func TestAPersonRetrainsFromAReview(t *testing.T) {
	t.Setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	recorder, err := sandbox.NewRecorder(sandbox.RecorderOptions{Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(recorder)
	defer hook.Close()
	config := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, orderPolicies, hook.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, t.TempDir(), "--config", config)
	if err := sendPlain(s, story()); err != nil {
		t.Fatal(err)
	}
	s.drained(30 * time.Second)
	reviews, err := list[struct{ ID string }](s, "/api/v1/reviews", nil)
	if err != nil || len(reviews) != 1 {
		t.Fatalf("%+v %v", reviews, err)
	}
	id := reviews[0].ID

	ask := exec.Command(boot.Binary, "review", "retrain", id, "--server", s.URL, "--by", "ada", "--why", "the feed is repaired")
	if out, err := ask.CombinedOutput(); err != nil || !strings.Contains(string(out), "retrain at hook is ") {
		t.Fatalf("%s %v", out, err)
	}
	for range 2 {
		form := url.Values{"by": {"ada"}, "why": {"the feed is repaired"}, "target": {"hook"}}
		r, err := http.PostForm(s.URL+"/reviews/"+id+"/retrain", form)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusOK || r.Request.URL.Path != "/reviews/"+id {
			t.Errorf("the form led to %s: %s", r.Request.URL, r.Status)
		}
	}
	boot.Eventually(t, 30*time.Second, "the retrain is done", func() error {
		done, err := list[action](s, "/api/v1/actions", url.Values{"type": {"retrain"}})
		if err == nil && (len(done) != 1 || done[0].State != "succeeded") {
			err = fmt.Errorf("%+v", done)
		}
		return err
	})
	s.drained(30 * time.Second)
	done, _ := list[action](s, "/api/v1/actions", url.Values{"type": {"retrain"}, "policy": {"builtin/manual"}})
	if len(done) != 1 || recorder.Counts()[done[0].Key] != 1 || len(recorder.Counts()) != 1 {
		t.Errorf("%+v, the target saw %v", done, recorder.Counts())
	}
	var r struct{ History []struct{ Why string } }
	if err := s.Get("/api/v1/reviews/"+id, &r); err != nil || strings.Count(fmt.Sprint(r.History), "ada asked for it") != 1 {
		t.Errorf("%+v %v", r.History, err)
	}
	answer, err := http.Post(s.URL+"/callbacks/hook", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("a target that never calls back answers %s", answer.Status)
	}
}
