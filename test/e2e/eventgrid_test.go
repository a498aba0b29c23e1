package e2e

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
	"github.com/modelwarden/modelwarden/test/boot"
)

const gridKey = "Zm9yLXRlc3RzLW9ubHktMDEyMzQ1Njc4OQ=="

// grid is an Event Grid with a namespace to pull from and a custom topic.
type grid struct {
	t         *testing.T
	namespace *eventgrid.Namespace
	pull      *httptest.Server
	topic     *httptest.Server
	certs     string

	mu        sync.Mutex
	published map[string]map[string]map[string]any // type → id → data
}

func newGrid(t *testing.T) *grid {
	t.Helper()
	auth := eventgrid.Auth{Keys: []string{gridKey}}
	g := &grid{t: t, namespace: eventgrid.NewNamespace(eventgrid.NamespaceOptions{Auth: auth}), published: map[string]map[string]map[string]any{}}
	topic := eventgrid.NewTopic(eventgrid.TopicOptions{Schema: eventgrid.CloudEvents, Auth: auth})
	err := errors.Join(
		g.namespace.Subscribe("workspaces", eventgrid.QueueSubscription{Name: "modelwarden"}),
		topic.Subscribe(eventgrid.Subscription{Name: "listener", Queue: g.listen}))
	if err != nil {
		t.Fatal(err)
	}
	g.pull, g.topic = eventgrid.StartTLS(g.namespace), eventgrid.StartTLS(topic)
	t.Cleanup(g.pull.Close)
	t.Cleanup(g.topic.Close)
	// The service trusts the servers' certificates as it would a private CA.
	var all []byte
	for _, s := range []*httptest.Server{g.pull, g.topic} {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
	}
	g.certs = filepath.Join(t.TempDir(), "certs.pem")
	if err := os.WriteFile(g.certs, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// listen is the consumer of what the service publishes.
func (g *grid) listen(m eventgrid.Message) error {
	var e struct {
		ID, Type, Source string
		Data             map[string]any
	}
	if err := json.Unmarshal(m.Body, &e); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.published[e.Type] == nil {
		g.published[e.Type] = map[string]map[string]any{}
	}
	g.published[e.Type][e.ID] = e.Data
	return nil
}

// heard says how many distinct changes of each type were published.
func (g *grid) heard() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := map[string]int{}
	for kind, all := range g.published {
		n[kind] = len(all)
	}
	return n
}

func (g *grid) env() []string {
	return []string{
		"SSL_CERT_FILE=" + g.certs,
		"MODELWARDEN_PULL_ENDPOINT=" + g.pull.URL, "MODELWARDEN_PULL_TOPIC=workspaces", "MODELWARDEN_PULL_SUBSCRIPTION=modelwarden", "MODELWARDEN_PULL_KEY=" + gridKey,
		"MODELWARDEN_PUBLISH_ENDPOINT=" + g.topic.URL + "/api/events", "MODELWARDEN_PUBLISH_KEY=" + gridKey,
	}
}

// TestEventsArePulledAndChangesArePublished lets the service fetch the story
// from a namespace, nonsense included, and listens to what it publishes.
func TestEventsArePulledAndChangesArePublished(t *testing.T) {
	t.Setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	recorder, err := sandbox.NewRecorder(sandbox.RecorderOptions{Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(recorder)
	defer hook.Close()
	config := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, storyPolicies, hook.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGrid(t)
	s := &server{Server: boot.ServeWith(t, g.env(), t.TempDir(), "", "--config", config), t: t}
	s.subscriber, s.idle = s.URL, s.queueEmpty
	g.publish(story())
	boot.Eventually(t, 30*time.Second, "all was pulled", func() error {
		st, err := g.namespace.QueueStats("workspaces", "modelwarden")
		if err == nil && st.Ready+st.Locked+st.Delayed > 0 {
			err = fmt.Errorf("%+v", st)
		}
		return err
	})
	s.drained(30 * time.Second)
	checkLineage(t, s)
	checkRetrain(t, s, recorder)
	checkLog(t, s)
	quarantined, err := list[struct{ ID, Reason string }](s, "/api/v1/quarantine", nil)
	if err != nil || len(quarantined) != 1 {
		t.Errorf("want the nonsense in quarantine, got %+v, %v", quarantined, err)
	}
	t.Run("published", func(t *testing.T) { g.checkPublished(t, s) })
}

// publish sends the story twice, and an event that nobody understands.
func (g *grid) publish(events []told) {
	g.t.Helper()
	all := []json.RawMessage{json.RawMessage(`{"specversion":"1.0","id":"n","source":"/somewhere/else","type":"Nonsense"}`)}
	for _, e := range append(events, events...) {
		b, err := json.Marshal(map[string]any{"specversion": "1.0", "id": e.id, "source": workspaceID, "type": e.kind,
			"subject": e.subject, "time": e.at, "data": e.data})
		if err != nil {
			g.t.Fatal(err)
		}
		all = append(all, b)
	}
	if err := g.namespace.Publish("workspaces", all...); err != nil {
		g.t.Fatal(err)
	}
}

func (g *grid) checkPublished(t *testing.T, s *server) {
	reviews, err := list[struct{ ID string }](s, "/api/v1/reviews", nil)
	if err != nil || len(reviews) != 1 {
		t.Fatal(reviews, err)
	}
	r, err := http.Post(s.URL+"/api/v1/reviews/"+reviews[0].ID+"/ack", "application/json", strings.NewReader(`{"by":"on-call"}`))
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	}
	_ = r.Body.Close()
	want := map[string]int{
		"Modelwarden.Decision.Made":    2, // acted, and held in the same window
		"Modelwarden.Action.Performed": 2, // retrain and review
		"Modelwarden.Review.Changed":   2, // opened, acknowledged
	}
	boot.Eventually(t, 30*time.Second, "all changes are published", func() error {
		got := g.heard()
		delete(got, "Modelwarden.Stage.Changed") // checked below: how many there are depends on the order
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("published are %v, want %v", got, want)
		}
		return nil
	})
	boot.Eventually(t, 30*time.Second, "the deployed stage is published", func() error {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, data := range g.published["Modelwarden.Stage.Changed"] {
			if data["to"] == "deployed" && data["asset"] == "model/contoso-ml/churn/12" {
				return nil
			}
		}
		return fmt.Errorf("stages %v", g.published["Modelwarden.Stage.Changed"])
	})
}

func TestCheckConnectTriesEventGrid(t *testing.T) {
	g := newGrid(t)
	said := &boot.Tail{}
	check := []string{"check", "--connect", "--listen", "127.0.0.1:0", "--data", t.TempDir()}
	if code := runCommandWith(t, said, g.env(), check...); code != 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	said = &boot.Tail{}
	wrong := append(g.env(), "MODELWARDEN_PULL_KEY=d3Jvbmc=", "MODELWARDEN_PUBLISH_KEY=d3Jvbmc=")
	if code := runCommandWith(t, said, wrong, check...); code == 0 {
		t.Errorf("wrong keys pass: %s", said)
	}
}
