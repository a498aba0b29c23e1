//go:build peers

package peers

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/test/boot"
)

func TestAlertmanagerTellsOnceWhileAReviewIsOpen(t *testing.T) {
	a := bootAlertmanager(t, notAgain)
	c := newAlertCase(t, a)
	c.deliver(review.NewsOpened)
	call := a.heard(t, 1)
	if call.Status != "firing" || len(call.Alerts) != 1 {
		t.Fatalf("the first call is %+v", call)
	}
	for name, want := range map[string]string{
		"alertname": "ModelwardenReview", "review": c.card.Review.ID, "severity": "warning", "model": "churn",
		"workspace": "contoso-ml", "policy": "churn-drift", "team": oddLabel,
	} {
		if got := call.Alerts[0].Labels[name]; got != want {
			t.Errorf("label %s is %q, want %q", name, got, want)
		}
	}
	if got := call.Alerts[0].Annotations["summary"]; got != "churn drifts" {
		t.Errorf("the summary is %q", got)
	}
	if got := call.Alerts[0].GeneratorURL; got != c.card.URL {
		t.Errorf("the generator is %q", got)
	}
	c.card.Review.Count = 7
	c.deliver(review.NewsCounted)
	c.deliver(0)
	a.quiet(t, 1) // though the resolve_timeout passes
	if got := a.alerts(t); len(got) != 1 || got[0].Annotations["count"] != "7" {
		t.Errorf("Alertmanager has %+v", got)
	}
	c.apply(review.Command{Verb: review.Resolve, By: "Ada"})
	c.deliver(review.NewsResolved)
	if call := a.heard(t, 2); call.Status != "resolved" || call.Alerts[0].Annotations["state"] != "resolved" {
		t.Errorf("the last call is %+v", call)
	}
	c.deliver(0)
	a.quiet(t, 2)
}

func TestAlertmanagerRoutesAHigherSeverityAnew(t *testing.T) {
	a := bootAlertmanager(t, notAgain)
	c := newAlertCase(t, a)
	c.deliver(review.NewsOpened)
	a.heard(t, 1)
	c.card.Review.Severity = review.Critical
	c.deliver(review.NewsSeverity)
	call := a.heard(t, 2)
	status := map[string]string{}
	for _, alert := range call.Alerts {
		status[alert.Labels["severity"]] = alert.Status
	}
	if status["warning"] != "resolved" || status["critical"] != "firing" {
		t.Errorf("told %v", status)
	}
	if got := a.alerts(t); len(got) != 1 || got[0].Labels["severity"] != "critical" {
		t.Errorf("Alertmanager has %+v", got)
	}
}

func TestAnAcknowledgedReviewIsSilentInAlertmanager(t *testing.T) {
	a := bootAlertmanager(t, quickly)
	c := newAlertCase(t, a)
	c.deliver(review.NewsOpened)
	a.heard(t, 2) // and again, and again
	c.apply(review.Command{Verb: review.Ack, By: "Ada"})
	c.deliver(review.NewsAcknowledged)
	s := a.silences(t)
	if len(s) != 1 || s[0].Status.State != "active" || s[0].Comment != "acknowledged by Ada in Modelwarden: review "+c.card.Review.ID {
		t.Fatalf("the silences are %+v", s)
	}
	a.settled(t)
	calls := a.calls()
	c.deliver(0)
	a.quiet(t, calls)
	if got := a.alerts(t); len(got) != 1 || !slices.Equal(got[0].Status.SilencedBy, []string{s[0].ID}) || got[0].Annotations["acknowledged_by"] != "Ada" {
		t.Errorf("Alertmanager has %+v", got)
	}
	c.apply(review.Command{Verb: review.Resolve, By: "Ada"})
	c.deliver(review.NewsResolved)
	if call := a.heard(t, calls+1); call.Status != "resolved" {
		t.Errorf("after the resolution it tells %+v", call)
	}
	if s := a.silences(t); len(s) != 1 || s[0].Status.State != "expired" {
		t.Errorf("the silences are %+v", s)
	}
}

func TestASnoozeIsASilenceOfItsLength(t *testing.T) {
	a := bootAlertmanager(t, quickly)
	c := newAlertCase(t, a)
	until := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
	c.apply(review.Command{Verb: review.Snooze, By: "Ada", Until: until})
	c.deliver(review.NewsSnoozed)
	c.apply(review.Command{Verb: review.Snooze, By: "Ada", Until: until.Add(time.Hour)})
	c.deliver(review.NewsSnoozed)
	active := slices.DeleteFunc(a.silences(t), func(s keptSilence) bool { return s.Status.State != "active" })
	if len(active) != 1 || !active[0].EndsAt.Equal(until.Add(time.Hour)) {
		t.Errorf("the active silences are %+v", active)
	}
	a.quiet(t, 0)
	c.card.Review.State, c.card.Review.SnoozedUntil = review.Open, time.Time{}
	c.deliver(review.NewsAwake)
	if call := a.heard(t, 1); call.Status != "firing" {
		t.Errorf("awake, it tells %+v", call)
	}
}

// Alertmanager would wait for its repeat_interval with an alert that it told
// before it was silenced.
func TestTheEndOfASnoozeCallsAtOnce(t *testing.T) {
	a := bootAlertmanager(t, notAgain)
	c := newAlertCase(t, a)
	c.deliver(review.NewsOpened)
	a.heard(t, 1)
	until := time.Now().Add(2 * time.Hour)
	c.apply(review.Command{Verb: review.Snooze, By: "Ada", Until: until})
	c.deliver(review.NewsSnoozed)
	a.quiet(t, 1)
	r := &c.card.Review
	r.State, r.OpenSince, r.SnoozedUntil = review.Open, time.Now(), time.Time{}
	c.deliver(review.NewsAwake)
	if call := a.heard(t, 2); call.Status != "firing" {
		t.Errorf("awake, it tells %+v", call)
	}
	if got := a.alerts(t); len(got) != 1 {
		t.Errorf("Alertmanager has %+v", got)
	}
}

func TestASilenceThatPeopleEndStaysEnded(t *testing.T) {
	a := bootAlertmanager(t, quickly)
	c := newAlertCase(t, a)
	c.apply(review.Command{Verb: review.Ack, By: "Ada"})
	c.deliver(review.NewsAcknowledged)
	id := a.silences(t)[0].ID
	a.ask(t, http.MethodDelete, "/api/v2/silence/"+id, nil)
	c.deliver(0)
	c.deliver(0)
	a.heard(t, 1)
	if s := a.silences(t); len(s) != 1 || s[0].Status.State != "expired" {
		t.Errorf("the silences are %+v", s)
	}
}

func TestAnAlertmanagerThatStartsAnewIsToldAgain(t *testing.T) {
	a := bootAlertmanager(t, notAgain)
	c := newAlertCase(t, a)
	c.deliver(review.NewsOpened)
	a.heard(t, 1)
	if in := time.Until(c.ticket.Refresh); in < time.Minute || in > 10*time.Minute {
		t.Errorf("the alert is sent again in %s", in)
	}
	a.Stop(t)
	a.start(t)
	if got := a.alerts(t); len(got) != 0 {
		t.Fatalf("Alertmanager kept %+v: is the refresh still needed?", got)
	}
	c.deliver(0)
	if got := a.alerts(t); len(got) != 1 {
		t.Errorf("Alertmanager has %+v", got)
	}
	a.quiet(t, 1) // it remembers whom it told
	c.apply(review.Command{Verb: review.Resolve, By: "Ada"})
	c.deliver(review.NewsResolved)
	if call := a.heard(t, 2); call.Status != "resolved" {
		t.Errorf("the last call is %+v", call)
	}
}

func TestAnAlertmanagerThatLostItsFilesStaysQuiet(t *testing.T) {
	a := bootAlertmanager(t, quickly)
	c := newAlertCase(t, a)
	c.apply(review.Command{Verb: review.Ack, By: "Ada"})
	c.deliver(review.NewsAcknowledged)
	a.Kill()
	if err := os.RemoveAll(filepath.Join(a.dir, a.data)); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	c.deliver(0)
	if s := a.silences(t); len(s) != 1 || s[0].Status.State != "active" {
		t.Errorf("the silences are %+v", s)
	}
	a.quiet(t, 0)
}

func TestALostTicketIsFoundInAlertmanager(t *testing.T) {
	a := bootAlertmanager(t, notAgain)
	c := newAlertCase(t, a)
	c.deliver(review.NewsOpened)
	a.heard(t, 1)
	c.ticket, c.card.Review.Severity = review.Ticket{}, review.Critical
	c.deliver(review.NewsSeverity)
	if got := a.alerts(t); len(got) != 1 || got[0].Labels["severity"] != "critical" {
		t.Errorf("Alertmanager has %+v", got)
	}
	c.apply(review.Command{Verb: review.Ack, By: "Ada"})
	c.deliver(review.NewsAcknowledged)
	c.ticket = review.Ticket{}
	c.deliver(review.NewsAcknowledged)
	if s := a.silences(t); len(s) != 1 {
		t.Errorf("the silences are %+v", s)
	}
}

func TestAReopenedReviewIsToldAgain(t *testing.T) {
	a := bootAlertmanager(t, notAgain)
	c := newAlertCase(t, a)
	c.deliver(review.NewsOpened)
	a.heard(t, 1)
	c.apply(review.Command{Verb: review.Resolve, By: "Ada"})
	c.deliver(review.NewsResolved)
	a.heard(t, 2)
	r := &c.card.Review
	r.State, r.OpenSince = review.Open, time.Now()
	c.deliver(review.NewsReopened)
	if call := a.heard(t, 3); call.Status != "firing" {
		t.Errorf("reopened, it tells %+v", call)
	}
}

func TestANoticeIsAnAlertOfItsOwn(t *testing.T) {
	a := bootAlertmanager(t, notAgain)
	c := newAlertCase(t, a)
	for range 2 {
		if _, err := c.to.Deliver(t.Context(), effect.Delivery{Key: "notice-1", Card: c.card, Once: true, Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	call := a.heard(t, 1)
	if call.Alerts[0].Labels["alertname"] != "ModelwardenNotice" || call.Alerts[0].Labels["notice"] != "notice-1" {
		t.Errorf("told %+v", call)
	}
	a.quiet(t, 1)
}

// The servers of a cluster share silences and what they told, not alerts: each
// has to have the alert, and the receiver is called once.
func TestEachServerOfAClusterIsTold(t *testing.T) {
	gossip := []string{freeAddress(t), freeAddress(t)}
	clustered := func(own, other int) []string {
		return []string{"--cluster.listen-address=" + gossip[own], "--cluster.peer=" + gossip[other], "--cluster.peer-timeout=2s", "--cluster.pushpull-interval=1s"}
	}
	a := bootAlertmanager(t, notAgain, clustered(0, 1)...)
	b := &alertmanager{dir: a.dir, data: "other", listen: freeAddress(t), args: clustered(1, 0)}
	b.URL = "http://" + b.listen
	b.start(t)
	c := newAlertCase(t, a, b.URL)
	boot.Eventually(t, time.Minute, "the cluster is ready", func() error {
		for _, server := range []*alertmanager{a, b} {
			var status struct {
				Cluster struct {
					Status string
					Peers  []struct{}
				}
			}
			if server.ask(t, http.MethodGet, "/api/v2/status", &status); status.Cluster.Status != "ready" || len(status.Cluster.Peers) != 2 {
				return fmt.Errorf("%+v", status)
			}
		}
		return nil
	})
	c.deliver(review.NewsOpened)
	a.heard(t, 1)
	for _, server := range []*alertmanager{a, b} {
		if got := server.alerts(t); len(got) != 1 {
			t.Errorf("%s has %+v", server.URL, got)
		}
	}
	c.apply(review.Command{Verb: review.Ack, By: "Ada"})
	c.deliver(review.NewsAcknowledged)
	boot.Eventually(t, 30*time.Second, "the other server has the silence", func() error {
		if s := b.silences(t); len(s) != 1 || s[0].Status.State != "active" {
			return fmt.Errorf("its silences are %+v", s)
		}
		return nil
	})
	a.quiet(t, 1)
	a.Stop(t)
	before := c.ticket
	c.apply(review.Command{Verb: review.Resolve, By: "Ada"})
	if err := c.try(review.NewsResolved); err == nil || !strings.Contains(err.Error(), "1 of 2 servers took it") || c.ticket != before {
		t.Errorf("with a server down: %v", err)
	}
	if got := b.alerts(t); len(got) != 0 {
		t.Errorf("the other server still has %+v", got)
	}
	a.start(t)
	c.deliver(review.NewsResolved)
}
