//go:build peers

package peers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/test/boot"
)

// oddLabel is a label's value that has to be escaped where alerts are asked for.
const oddLabel = `risk, "east" \ {süd}`

const (
	// notAgain is a repeat_interval that no test lives to see.
	notAgain = time.Hour
	// quickly is one that several fit into a test of.
	quickly = 500 * time.Millisecond
	// calmly is how long a test listens to hear nothing: many group intervals,
	// some repeats, and longer than the resolve_timeout.
	calmly = 3 * time.Second
)

// alertmanager is a running Alertmanager, and the receiver that it tells.
type alertmanager struct {
	*boot.Process
	URL, listen string
	// dir holds the configuration and, under the name data, what it keeps.
	dir, data string
	args      []string

	mu   sync.Mutex
	told []alertCall
}

// alertCall is what Alertmanager posts to webhooks.
type alertCall struct {
	Status string
	Alerts []shownAlert
}

// shownAlert is an alert as webhooks and the API show it; its Status is a word
// to the first and an object to the second.
type shownAlert struct {
	Status       string `json:"status"`
	Labels       map[string]string
	Annotations  map[string]string
	GeneratorURL string
}

type keptAlert struct {
	Labels, Annotations map[string]string
	Status              struct {
		State      string
		SilencedBy []string
	}
}

type keptSilence struct {
	ID, Comment string
	EndsAt      time.Time
	Status      struct{ State string }
}

const alertmanagerConfig = `
global: {resolve_timeout: 1s}
route: {receiver: page, group_by: [alertname, review], group_wait: 100ms, group_interval: 100ms, repeat_interval: %s}
receivers: [{name: page, webhook_configs: [{url: %q, send_resolved: true}]}]
`

// bootAlertmanager starts an Alertmanager that repeats itself so often; without
// further arguments it has no cluster.
func bootAlertmanager(t *testing.T, repeat time.Duration, args ...string) *alertmanager {
	t.Helper()
	a := &alertmanager{dir: t.TempDir(), data: "data", listen: freeAddress(t), args: args}
	if len(args) == 0 {
		a.args = []string{"--cluster.listen-address="}
	}
	a.URL = "http://" + a.listen
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var call alertCall
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			t.Error(err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.told = append(a.told, call)
	}))
	t.Cleanup(receiver.Close)
	// Go writes durations in a way that Alertmanager does not read ("1h0m0s").
	config := fmt.Sprintf(alertmanagerConfig, fmt.Sprintf("%dms", repeat.Milliseconds()), receiver.URL)
	if err := os.WriteFile(filepath.Join(a.dir, "alertmanager.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	return a
}

// start starts it, for the first time or again.
func (a *alertmanager) start(t *testing.T) {
	t.Helper()
	args := append([]string{
		"--config.file=" + filepath.Join(a.dir, "alertmanager.yml"), "--storage.path=" + filepath.Join(a.dir, a.data), "--web.listen-address=" + a.listen,
	}, a.args...)
	a.Process = boot.Start(t, exec.Command(peer(t, "prometheus-alertmanager"), args...))
	boot.Eventually(t, 30*time.Second, "Alertmanager is ready", func() error {
		a.Alive(t)
		_, err := boot.Download(a.URL+"/-/ready", "")
		return err
	})
}

// ask makes a request of its API that must succeed.
func (a *alertmanager) ask(t *testing.T, method, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, a.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, path, r.Status)
	}
	if into == nil {
		return
	}
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// alerts are those that have not ended.
func (a *alertmanager) alerts(t *testing.T) []keptAlert {
	t.Helper()
	var out []keptAlert
	a.ask(t, http.MethodGet, "/api/v2/alerts", &out)
	return out
}

func (a *alertmanager) silences(t *testing.T) []keptSilence {
	t.Helper()
	var out []keptSilence
	a.ask(t, http.MethodGet, "/api/v2/silences?"+url.Values{"filter": {`alertname="ModelwardenReview"`}}.Encode(), &out)
	return out
}

// calls counts what the receiver was told.
func (a *alertmanager) calls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.told)
}

// heard waits for the n-th call.
func (a *alertmanager) heard(t *testing.T, n int) alertCall {
	t.Helper()
	boot.Eventually(t, 30*time.Second, fmt.Sprintf("the receiver is called %d times", n), func() error {
		if got := a.calls(); got < n {
			return fmt.Errorf("%d calls", got)
		}
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.told[n-1]
}

// settled waits until calls that were on their way when a silence came are over.
func (a *alertmanager) settled(t *testing.T) {
	t.Helper()
	last := -1
	boot.Eventually(t, 30*time.Second, "calls that were on their way are over", func() error {
		time.Sleep(quickly)
		before := last
		if last = a.calls(); last != before {
			return fmt.Errorf("%d calls, and then %d", before, last)
		}
		return nil
	})
}

// quiet listens for a while and fails the test when the receiver is called more
// than n times.
func (a *alertmanager) quiet(t *testing.T, n int) {
	t.Helper()
	time.Sleep(calmly)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.told) != n {
		t.Errorf("the receiver was called %d times, want %d: %+v", len(a.told), n, a.told[min(n, len(a.told)):])
	}
}

// alertCase is one review on its way to an Alertmanager.
type alertCase struct {
	t      *testing.T
	to     effect.Ticketer
	card   review.Card
	ticket review.Ticket
}

func newAlertCase(t *testing.T, a *alertmanager, peers ...string) *alertCase {
	t.Helper()
	targets := map[string]policy.Target{"oncall": {Alertmanager: &policy.AlertmanagerTarget{
		URL: a.URL, Peers: peers, Labels: map[string]string{"team": oddLabel},
	}}}
	all, err := effect.NewTicketers(targets, effect.Deps{AllowLoopback: true, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	return &alertCase{t: t, to: all["oncall"], card: review.Card{
		URL: "https://warden.contoso.example/reviews/abcdefghijklmnopqrstuvwxyz-1",
		Review: review.Review{
			ID: "abcdefghijklmnopqrstuvwxyz-1", Cause: "churn drifts", Title: "churn drifts", Severity: review.Warning, State: review.Open,
			Opened: now, OpenSince: now, LastSignal: now, Count: 1, Workspace: "contoso-ml", Model: "model/contoso-ml/churn",
			Policies: []string{"churn-drift"}, Assets: []string{"monitor/contoso-ml/churn"},
		},
	}}
}

func (c *alertCase) apply(v review.Command) {
	c.t.Helper()
	if _, err := c.card.Review.Apply(v, time.Now()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *alertCase) deliver(news review.News) {
	c.t.Helper()
	if err := c.try(news); err != nil {
		c.t.Fatal(err)
	}
}

// try is one delivery, whose ticket is kept if it succeeds.
func (c *alertCase) try(news review.News) error {
	ticket, err := c.to.Deliver(c.t.Context(), effect.Delivery{
		Key: c.card.Review.ID, Card: c.card, Ticket: c.ticket, News: news, Now: time.Now(),
	})
	if err == nil {
		c.ticket = ticket
	}
	return err
}
