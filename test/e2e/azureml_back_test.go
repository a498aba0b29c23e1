package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/ml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/boot"
)

// TestABadDeploymentIsRolledBack: version 2 takes over from version 1 on a
// deployment of its own, and its window breaches.
func TestABadDeploymentIsRolledBack(t *testing.T) {
	for name, c := range map[string]struct {
		approved string
		state    string
		traffic  map[string]int
	}{
		"to an approved one":   {"true", "succeeded", map[string]int{"blue": 100}},
		"not to an unapproved": {"false", "failed", map[string]int{"green": 100}},
	} {
		t.Run(name, func(t *testing.T) {
			training := churnTraining()
			training[0].Endpoint, training[0].Tags = "", map[string]string{"modelwarden.approved": c.approved}
			l := newLab(t, sandbox.Options{TrainTime: 50 * time.Millisecond, Training: training})
			_, err := l.RegisterData("churn-data")
			l.must(err)
			s := serve(t, t.TempDir(), "--config", l.config(`
policies: [{name: bad, on: [monitor.breached], then: [{rollback: {target: back}}]}]
targets: {back: {rollback: {workspace: contoso-ml, endpoint: churn-ep, dryRun: false}}}
`))
			l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events"}))
			client, err := ml.New(ml.Options{Endpoint: l.server.URL, PollEvery: time.Second})
			l.must(err)
			ws := event.Workspace{Alias: "contoso-ml", ID: l.ID()}
			l.monitored("churn")
			for version, deployment := range []string{"blue", "green"} {
				l.train(churn)
				l.must(l.Deploy("churn-ep", deployment, "churn", fmt.Sprint(version+1)))
				if version == 0 {
					_, err := l.RunMonitor("churn_monitor")
					l.must(err)
				}
			}
			l.must(client.SetTraffic(t.Context(), ws, "churn-ep", map[string]int{"blue": 100}, map[string]int{"blue": 0, "green": 100}))
			l.told(s)
			l.must(l.ShiftData("age", 1))
			_, err = l.RunMonitor("churn_monitor")
			l.must(err)
			boot.Eventually(t, 30*time.Second, "the rollback ended", func() error {
				all, err := list[action](s, "/api/v1/actions", url.Values{"type": {"rollback"}})
				if err == nil && (len(all) != 1 || all[0].State != c.state) {
					err = fmt.Errorf("%+v", all)
				}
				return err
			})
			ep, err := client.Endpoint(t.Context(), ws, "churn-ep")
			if err != nil || !maps.Equal(ep.Traffic, c.traffic) {
				t.Errorf("traffic %v, want %v, %v", ep.Traffic, c.traffic, err)
			}
		})
	}
}

func TestCheckConnectTriesAzureML(t *testing.T) {
	l := newLab(t, sandbox.Options{})
	said := &boot.Tail{}
	check := []string{"check", "--connect", "--listen", "127.0.0.1:0", "--data", t.TempDir()}
	if code := runCommand(t, said, append(check, "--config", l.config(""))...); code != 0 || !strings.Contains(said.String(), "Azure Machine Learning: ok") {
		t.Errorf("exit %d: %s", code, said)
	}
	t.Setenv("MODELWARDEN_AZUREML_WORKSPACES", strings.Replace(l.ID(), "contoso-ml", "no-such-workspace", 1))
	said = &boot.Tail{}
	if code := runCommand(t, said, append(check, "--config", l.config(""))...); code == 0 || !strings.Contains(said.String(), "no-such-workspace") {
		t.Errorf("exit %d: %s", code, said)
	}
}

// TestStageAndReviewAreWrittenBack looks at the tags of the model version in
// the workspace.
func TestStageAndReviewAreWrittenBack(t *testing.T) {
	l := newLab(t, sandbox.Options{TrainTime: 50 * time.Millisecond, Training: churnTraining()})
	_, err := l.RegisterData("churn-data")
	l.must(err)
	config := l.config("url: https://modelwarden.example\npolicies: [{name: drift, on: [monitor.breached], then: [{review: {}}]}]\n")
	t.Setenv("MODELWARDEN_AZUREML_WRITE_BACK", "true")
	s := serve(t, t.TempDir(), "--config", config)
	l.must(l.Subscribe(sandbox.Subscription{URL: s.URL + "/events"}))
	client, err := ml.New(ml.Options{Endpoint: l.server.URL})
	l.must(err)
	tagged := func(name, want string) {
		t.Helper()
		boot.Eventually(t, 30*time.Second, name+" is written back", func() error {
			m, err := client.ModelVersion(t.Context(), event.Workspace{Alias: "contoso-ml", ID: l.ID()}, "churn", "1")
			if got, there := m.Tags[name]; err == nil && (got != want || there != (want != "")) {
				err = fmt.Errorf("tags are %v", m.Tags)
			}
			return err
		})
	}
	l.train(churn)
	tagged("modelwarden.stage", "deployed")
	l.monitored("churn")
	l.must(l.ShiftData("age", 1))
	_, err = l.RunMonitor("churn_monitor")
	l.must(err)
	var reviews []struct{ ID string }
	boot.Eventually(t, 30*time.Second, "a review is open", func() (err error) {
		if reviews, err = list[struct{ ID string }](s, "/api/v1/reviews", nil); err == nil && len(reviews) != 1 {
			err = fmt.Errorf("%+v", reviews)
		}
		return err
	})
	tagged("modelwarden.review", "https://modelwarden.example/reviews/"+reviews[0].ID)
	r, err := http.Post(s.URL+"/api/v1/reviews/"+reviews[0].ID+"/resolve", "application/json", strings.NewReader(`{"by":"on-call","why":"known"}`))
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	}
	_ = r.Body.Close()
	tagged("modelwarden.review", "")
}
