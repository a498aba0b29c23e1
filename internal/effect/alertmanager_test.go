package effect_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// newAlerted is a review on its way to a fake, whose clock is the review's.
func newAlerted(t *testing.T, peers ...*fakeAlertmanager) (*paged, *fakeAlertmanager) {
	t.Helper()
	f := newFakeAlertmanager(t)
	target := policy.AlertmanagerTarget{URL: f.URL + "/am/", Labels: map[string]string{"team": "risk"}, Token: policy.Token{TokenEnv: "AM"}}
	for _, p := range peers {
		target.Peers = append(target.Peers, p.URL+"/am")
	}
	p := newPaged(t, ticketers(t, policy.Target{Alertmanager: &target}))
	for _, server := range append(peers, f) {
		server.clock = p.clock
	}
	return p, f
}

func TestAReviewIsOneAlert(t *testing.T) {
	p, f := newAlerted(t)
	p.deliver(review.NewsOpened)
	got := f.firing()
	want := map[string]string{
		"alertname": "ModelwardenReview", "review": pagedID, "severity": "warning", "workspace": "contoso-ml",
		"model": "churn", "policy": "churn-drift", "team": "risk", "since": "2026-03-02T10:00:00Z",
	}
	if len(got) != 1 || !maps.Equal(got[0].Labels, want) {
		t.Fatalf("alerts %+v", got)
	}
	a := got[0]
	for name, want := range map[string]string{"summary": "churn drifts", "runbook_url": p.card.Runbook, "state": "open", "count": "1"} {
		if a.Annotations[name] != want {
			t.Errorf("%s is %q, want %q", name, a.Annotations[name], want)
		}
	}
	if !strings.Contains(a.Annotations["description"], "PSI 0.35 over 0.2") || a.GeneratorURL != p.card.URL {
		t.Errorf("%+v", a)
	}
	if !a.StartsAt.Equal(t0) || a.EndsAt.Sub(p.now) < 12*time.Hour {
		t.Errorf("from %s to %s", a.StartsAt, a.EndsAt)
	}
	if in := p.ticket.Refresh.Sub(p.now); in < time.Minute || in > 10*time.Minute {
		t.Errorf("sent again in %s", in)
	}
	if p.ticket.Severity != review.Warning || p.ticket.State != review.Open || !strings.HasPrefix(p.ticket.URL, f.URL+"/am/#/alerts?") {
		t.Errorf("ticket %+v", p.ticket)
	}
}

// Whatever happens to a review, receivers hear what they are to hear, once.
func TestAlertsFollowTheReview(t *testing.T) {
	later := func(p *paged) time.Time { return p.now.Add(3 * time.Hour).Truncate(time.Second) }
	for name, tc := range map[string]struct {
		do func(p *paged)
		// told is after "firing warning"; silences counts those at the end.
		told     string
		silences int
	}{
		"the same again": {func(p *paged) { p.deliver(review.NewsOpened); p.deliver(0) }, "", 0},
		"more signals":   {func(p *paged) { p.review().Count = 9; p.deliver(review.NewsCounted) }, "", 0},
		"a comment":      {func(p *paged) { p.do(review.Ack, time.Time{}); p.deliver(review.NewsComment) }, "", 1},
		"acknowledged":   {func(p *paged) { p.do(review.Ack, time.Time{}); p.deliver(0) }, "", 1},
		"snoozed, longer": {func(p *paged) {
			p.do(review.Snooze, later(p))
			p.do(review.Snooze, later(p))
		}, "", 1},
		"snoozed, then acknowledged": {func(p *paged) { p.do(review.Snooze, later(p)); p.do(review.Ack, time.Time{}) }, "", 1},
		"awake": {func(p *paged) {
			p.do(review.Snooze, later(p))
			p.open(review.Warning)
			p.deliver(review.NewsAwake)
		}, "resolved warning, firing warning", 0},
		"held by a silence": {func(p *paged) {
			p.review().Silence = &review.Silenced{By: "Ada", Until: later(p)}
			p.deliver(0)
		}, "", 1},
		"resolved":                    {func(p *paged) { p.do(review.Resolve, time.Time{}); p.deliver(0) }, "resolved warning", 0},
		"acknowledged, then resolved": {func(p *paged) { p.do(review.Ack, time.Time{}); p.do(review.Resolve, time.Time{}) }, "resolved warning", 0},
		"reopened": {func(p *paged) {
			p.do(review.Resolve, time.Time{})
			p.open(review.Warning)
			p.deliver(review.NewsReopened)
		}, "resolved warning, firing warning", 0},
		"more severe": {func(p *paged) { p.open(review.Critical); p.deliver(review.NewsSeverity) }, "firing critical, resolved warning", 0},
		"acknowledged, then more severe": {func(p *paged) {
			p.do(review.Ack, time.Time{})
			p.open(review.Critical)
			p.deliver(review.NewsSeverity)
		}, "firing critical, resolved warning", 0},
		"escalated": {func(p *paged) { p.review().Escalated = p.now; p.deliver(review.NewsEscalated) }, "", 0},
		"lost by a restart": {func(p *paged) {
			f := p.at.(*fakeAlertmanager)
			clear(f.alerts)
			p.deliver(0)
		}, "firing warning", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, f := newAlerted(t)
			p.at = f
			p.deliver(review.NewsOpened)
			tc.do(p)
			if want := strings.TrimSuffix("firing warning, "+tc.told, ", "); f.said() != want {
				t.Errorf("told %q, want %q", f.said(), want)
			}
			if got := f.quieting(); len(got) != tc.silences {
				t.Errorf("%d silences: %+v", len(got), got)
			}
			firing := f.firing()
			if open := p.review().State != review.Resolved; open != (len(firing) == 1) || !open && !p.ticket.Refresh.IsZero() {
				t.Errorf("%s, with %d alerts, sent again at %s", p.review().State, len(firing), p.ticket.Refresh)
			}
			for _, a := range firing {
				if a.Annotations["state"] != string(p.review().State) || a.Labels["severity"] != string(p.review().Severity) {
					t.Errorf("the alert says %+v", a)
				}
			}
		})
	}
}

// Two services may have a review of the same id.
func TestAnotherServicesAlertStays(t *testing.T) {
	p, f := newAlerted(t)
	p.deliver(review.NewsOpened)
	theirs := *f.firing()[0]
	theirs.Labels = maps.Clone(theirs.Labels)
	theirs.Labels["team"] = `an "odd" \ one`
	other := policy.AlertmanagerTarget{URL: f.URL + "/am", Labels: map[string]string{"team": theirs.Labels["team"]}, Token: policy.Token{TokenEnv: "AM"}}
	q := newPaged(t, ticketers(t, policy.Target{Alertmanager: &other}))
	q.deliver(review.NewsOpened)
	q.do(review.Ack, time.Time{})
	p.open(review.Critical)
	p.deliver(review.NewsSeverity)
	if got := f.firing(); len(got) != 2 || len(f.quieting()) != 1 {
		t.Errorf("%d alerts, %d silences", len(got), len(f.quieting()))
	}
	p.do(review.Resolve, time.Time{})
	if got := f.firing(); len(got) != 1 || !maps.Equal(got[0].Labels, theirs.Labels) || len(f.quieting()) != 1 {
		t.Errorf("alerts %+v, %d silences", got, len(f.quieting()))
	}
	q.do(review.Resolve, time.Time{})
	if len(f.firing()) != 0 || len(f.quieting()) != 0 {
		t.Errorf("%d alerts, %d silences", len(f.firing()), len(f.quieting()))
	}
}

func TestLostAnswersLeaveOneAlertAndOneSilence(t *testing.T) {
	for name, lose := range map[string]http.HandlerFunc{
		"alerts": dropOnce(http.MethodPost, "/alerts"), "silences": dropOnce(http.MethodPost, "/silences"),
	} {
		p, f := newAlerted(t)
		f.faults(pagingFaults{after: lose})
		if name == "silences" {
			if _, err := p.review().Apply(review.Command{Verb: review.Ack, By: "Ada"}, p.now); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.try(review.NewsOpened); err == nil || isPermanent(err) || p.ticket.Ref != "" {
			t.Fatalf("%s: %v", name, err)
		}
		p.review().Severity = review.Critical // in the meantime
		p.deliver(review.NewsSeverity)
		if got := f.firing(); len(got) != 1 || got[0].Labels["severity"] != "critical" {
			t.Errorf("%s: alerts %+v", name, got)
		}
		if got := f.quieting(); name == "silences" && len(got) != 1 || name != "silences" && len(got) != 0 {
			t.Errorf("%s: silences %+v", name, got)
		}
	}
}

// Clocks differ: an end in the server's future would be no end to it.
func TestAnAlertEndsByTheServersClock(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, -time.Second, time.Second, time.Hour} {
		p, f := newAlerted(t)
		f.clock = func() time.Time { return p.clock().Add(skew) }
		p.deliver(review.NewsOpened)
		p.do(review.Ack, time.Time{})
		if got := f.quieting(); len(got) != 1 || got[0].state(f.clock()) != "active" {
			t.Errorf("%s: silences %+v", skew, got)
		}
		p.do(review.Resolve, time.Time{})
		if got := f.firing(); len(got) != 0 || f.said() != "firing warning, resolved warning" {
			t.Errorf("%s: %d alerts, told %q", skew, len(got), f.said())
		}
	}
}

func TestAlertmanagersRefusalsAreSorted(t *testing.T) {
	for name, tc := range map[string]struct {
		fault     func(http.ResponseWriter, *http.Request) bool
		permanent bool
		after     time.Duration
		says      string
	}{
		"wrong token":  {answers(401, nil, "no "), true, 0, "check the target's user and token"},
		"another tool": {answers(404, nil, "no such page "), true, 0, "check that url is an Alertmanager's"},
		"bad request":  {answers(400, nil, `"start time must be before end time" `), true, 0, "start time"},
		"busy":         {answers(429, map[string]string{"Retry-After": "90"}, ""), false, 90 * time.Second, "429"},
		"down":         {answers(503, nil, ""), false, 0, "503"},
		"broken off":   {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, false, 0, "no answer"},
	} {
		p, f := newAlerted(t)
		f.faults(pagingFaults{before: tc.fault})
		err := p.try(review.NewsOpened)
		if err == nil || isPermanent(err) != tc.permanent || retryAfter(err) != tc.after || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: permanent %t, after %s: %v", name, isPermanent(err), retryAfter(err), err)
		}
		f.faults(pagingFaults{})
		p.deliver(review.NewsOpened)
	}
}

func TestEveryServerIsTold(t *testing.T) {
	peer := newFakeAlertmanager(t)
	p, f := newAlerted(t, peer)
	f.faults(pagingFaults{before: answers(400, nil, "")})
	if err := p.try(review.NewsOpened); err == nil || isPermanent(err) || !strings.Contains(err.Error(), "1 of 2 servers took it") {
		t.Errorf("one refuses: %v", err)
	}
	if len(peer.firing()) != 1 || p.ticket.Ref != "" {
		t.Errorf("the other has %d alerts, the ticket is %+v", len(peer.firing()), p.ticket)
	}
	f.faults(pagingFaults{})
	p.deliver(review.NewsOpened)
	if len(f.firing()) != 1 || len(peer.firing()) != 1 || peer.said() != "firing warning" {
		t.Errorf("%d and %d alerts, told %q", len(f.firing()), len(peer.firing()), peer.said())
	}
	for _, server := range []*fakeAlertmanager{f, peer} {
		server.faults(pagingFaults{before: answers(400, nil, "")})
	}
	if err := p.try(review.NewsCounted); !isPermanent(err) {
		t.Errorf("both refuse: %v", err)
	}
}

func TestANoticeIsNoReview(t *testing.T) {
	p, f := newAlerted(t)
	for range 2 {
		ticket, err := p.to.Deliver(t.Context(), effect.Delivery{Key: "n-1", Card: p.card, Once: true, Now: p.now})
		if err != nil || ticket != (review.Ticket{}) {
			t.Fatalf("%+v, %v", ticket, err)
		}
	}
	got := f.firing()
	if len(got) != 1 || got[0].Labels["alertname"] != "ModelwardenNotice" || got[0].Labels["notice"] != "n-1" || got[0].Labels["review"] != "" {
		t.Fatalf("alerts %+v", got)
	}
	if got[0].EndsAt.Sub(got[0].StartsAt) != 5*time.Minute || !slices.Equal(f.requests, []string{"POST alerts", "POST alerts"}) {
		t.Errorf("%+v, %v", got[0], f.requests)
	}
}

func TestAlertsCarryForeignTextHarmlessly(t *testing.T) {
	p, f := newAlerted(t)
	r := p.review()
	r.Title, r.Reason, r.Runbook, p.card.Runbook = hostileText, strings.Repeat(hostileText, 500), "javascript:alert(1)", ""
	r.AckedBy = hostileText
	p.deliver(review.NewsOpened)
	r.State, r.AckedAt = review.Acknowledged, p.now
	p.deliver(review.NewsAcknowledged)
	a := f.firing()[0]
	texts := append(slices.Collect(maps.Values(a.Annotations)), f.silences[0].Comment)
	for _, text := range texts {
		for _, active := range activeParts {
			if strings.Contains(text, active) || len(text) > 4000 {
				t.Errorf("%d bytes, %q in %q", len(text), active, text[:min(len(text), 200)])
			}
		}
	}
	if a.Annotations["runbook_url"] != "" {
		t.Errorf("the runbook is %q", a.Annotations["runbook_url"])
	}
}

func TestAlertmanagersAuthorization(t *testing.T) {
	for name, tc := range map[string]struct {
		target policy.AlertmanagerTarget
		auth   string
	}{
		"none":  {policy.AlertmanagerTarget{}, ""},
		"basic": {policy.AlertmanagerTarget{User: "warden", Token: policy.Token{TokenEnv: "AM"}}, "Basic d2FyZGVuOjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm"},
	} {
		f := newFakeAlertmanager(t)
		f.auth, tc.target.URL = tc.auth, f.URL+"/am"
		p := newPaged(t, ticketers(t, policy.Target{Alertmanager: &tc.target}))
		f.clock = p.clock
		p.deliver(review.NewsOpened)
		f.faults(pagingFaults{before: answers(401, nil, "you said ")})
		if err := p.try(0); err == nil || strings.Contains(err.Error(), "d2FyZGVu") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tc := range map[string]struct {
		target policy.AlertmanagerTarget
		token  string
	}{
		"targets.oncall.alertmanager.token: is missing":     {policy.AlertmanagerTarget{URL: "http://a.contoso.example", User: "warden"}, ""},
		"targets.oncall.alertmanager.token: it has control": {policy.AlertmanagerTarget{URL: "http://a.contoso.example", Token: policy.Token{TokenEnv: "AM"}}, pagerKey + "\n"},
		"targets.oncall.alertmanager.tokenEnv: ":            {policy.AlertmanagerTarget{URL: "http://a.contoso.example", Token: policy.Token{TokenEnv: "AM"}}, ""},
		"targets.oncall.alertmanager.url: ":                 {policy.AlertmanagerTarget{URL: "ftp://a.contoso.example"}, ""},
		"targets.oncall.alertmanager.allowPrivate: ":        {policy.AlertmanagerTarget{URL: "http://a.contoso.example", Token: policy.Token{AllowPrivate: []string{"a b"}}}, ""},
	} {
		_, err := effect.NewTicketers(map[string]policy.Target{"oncall": {Alertmanager: &tc.target}}, effect.Deps{
			LookupEnv: func(string) (string, bool) { return tc.token, tc.token != "" },
		})
		if err == nil || !strings.HasPrefix(err.Error(), name) || strings.Contains(err.Error(), pagerKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A label that an alert has by itself can't be configured, or one would hide
// the other.
func TestOwnLabelsCantBeConfigured(t *testing.T) {
	p, f := newAlerted(t)
	p.deliver(review.NewsOpened)
	if _, err := p.to.Deliver(t.Context(), effect.Delivery{Key: "n", Card: p.card, Once: true, Now: p.now}); err != nil {
		t.Fatal(err)
	}
	for _, a := range f.firing() {
		for name := range a.Labels {
			_, err := policy.Parse("p.yaml", fmt.Appendf(nil, "targets: {a: {alertmanager: {url: 'http://a.contoso.example', labels: {%s: x}}}}", name))
			if (err == nil) != (name == "team") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestAlertmanagerNeverCallsBack(t *testing.T) {
	p, _ := newAlerted(t)
	if _, calls := p.to.(effect.Caller); calls {
		t.Error("it has no way to")
	}
}
