package effect_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func newPagedByPagerDuty(t *testing.T) (*paged, *fakePagerDuty) {
	t.Helper()
	f := newFakePagerDuty(t)
	p := newPaged(t, ticketers(t, policy.Target{PagerDuty: &policy.PagerDutyTarget{URL: f.URL, Token: policy.Token{TokenEnv: "PD"}}}))
	p.at = f
	return p, f
}

func TestAReviewIsOneIncident(t *testing.T) {
	p, f := newPagedByPagerDuty(t)
	p.deliver(review.NewsOpened)
	if len(f.events) != 1 {
		t.Fatalf("events %+v", f.events)
	}
	e := f.events[0]
	if e.Action != "trigger" || e.Dedup != pagedID || e.Client != "Modelwarden" || e.ClientURL != p.card.URL || len(e.Links) != 2 || e.Links[1]["href"] != p.card.Runbook {
		t.Errorf("event %+v", e)
	}
	d := e.Payload
	if d.Summary != "churn drifts" || d.Source != "model/contoso-ml/churn" || d.Severity != "warning" || d.Timestamp != t0.Format(time.RFC3339) ||
		d.Component != "churn" || d.Group != "contoso-ml" || d.Class != "churn-drift" {
		t.Errorf("payload %+v", d)
	}
	for name, want := range map[string]string{"review": pagedID, "owner": "risk team", "reason": "PSI 0.35 over 0.2", "policies": "churn-drift, churn-late", "assets": "monitor/contoso-ml/churn"} {
		if d.Details[name] != want {
			t.Errorf("%s is %q, want %q", name, d.Details[name], want)
		}
	}
	if p.ticket.Ref != pagedID || p.ticket.State != review.Open || p.ticket.Severity != review.Warning || !p.ticket.Refresh.IsZero() {
		t.Errorf("ticket %+v", p.ticket)
	}
}

func TestIncidentsFollowTheReview(t *testing.T) {
	for name, tc := range map[string]struct {
		do     func(p *paged)
		said   string
		events int // after the first
	}{
		"the same again": {func(p *paged) { p.deliver(review.NewsOpened); p.deliver(0) }, " triggered warning; ", 0},
		"more signals": {func(p *paged) {
			p.review().Count, p.review().Title = 9, "churn drifts on"
			p.deliver(review.NewsCounted)
		}, " triggered warning; ", 0},
		"a comment":            {func(p *paged) { p.deliver(review.NewsComment) }, " triggered warning; ", 0},
		"acknowledged":         {func(p *paged) { p.do(review.Ack, time.Time{}); p.deliver(0) }, " acknowledged warning; ", 1},
		"snoozed":              {func(p *paged) { p.do(review.Snooze, p.now.Add(time.Hour)); p.deliver(0) }, " acknowledged warning; ", 1},
		"held by a silence":    {func(p *paged) { p.review().Silence = &review.Silenced{}; p.deliver(0) }, " acknowledged warning; ", 1},
		"acknowledged, marked": {func(p *paged) { p.do(review.Ack, time.Time{}); p.deliver(review.NewsComment) }, " acknowledged warning; ", 1},
		"resolved":             {func(p *paged) { p.do(review.Resolve, time.Time{}); p.deliver(0) }, " resolved warning; ", 1},
		"more severe":          {func(p *paged) { p.open(review.Critical); p.deliver(review.NewsSeverity) }, " triggered critical; ", 1},
		"escalated":            {func(p *paged) { p.review().Escalated = p.now; p.deliver(review.NewsEscalated) }, " triggered warning; ", 1},
		"reopened": {func(p *paged) {
			p.do(review.Resolve, time.Time{})
			p.open(review.Warning)
			p.deliver(review.NewsReopened)
		}, " resolved warning;  triggered warning; ", 2},
		// A key whose incident is acknowledged would call nobody.
		"acknowledged, then more severe": {func(p *paged) {
			p.do(review.Ack, time.Time{})
			p.open(review.Critical)
			p.deliver(review.NewsSeverity)
			p.deliver(0)
		}, " resolved warning; .2 triggered critical; ", 3},
		"snoozed twice": {func(p *paged) {
			for range 2 {
				p.do(review.Snooze, p.now.Add(time.Hour))
				p.open(review.Warning)
				p.deliver(review.NewsAwake)
			}
			p.do(review.Resolve, time.Time{})
		}, " resolved warning; .2 resolved warning; .3 resolved warning; ", 7},
		"awake after a silence": {func(p *paged) {
			p.review().Silence = &review.Silenced{}
			p.deliver(0)
			p.review().Silence = nil
			p.deliver(review.NewsAwake)
		}, " resolved warning; .2 triggered warning; ", 3},
		"resolved there by hand": {func(p *paged) {
			p.at.(*fakePagerDuty).incidents[0].status = "resolved"
			p.review().Count++
			p.deliver(review.NewsCounted) // is no reason to call
			p.open(review.Critical)
			p.deliver(review.NewsSeverity)
		}, " resolved warning;  triggered critical; ", 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, f := newPagedByPagerDuty(t)
			p.deliver(review.NewsOpened)
			tc.do(p)
			if f.said() != tc.said || len(f.events) != tc.events+1 {
				t.Errorf("%q after %d more events, want %q after %d", f.said(), len(f.events)-1, tc.said, tc.events)
			}
		})
	}
}

// Somebody acknowledged it on the page before PagerDuty could be reached.
func TestNobodyIsPagedForWhatIsInHand(t *testing.T) {
	p, f := newPagedByPagerDuty(t)
	p.do(review.Ack, time.Time{})
	if f.said() != "" {
		t.Errorf("incidents %s", f.said())
	}
	p.do(review.Resolve, time.Time{})
	if f.said() != "" || p.ticket.State != review.Resolved {
		t.Errorf("incidents %s, ticket %+v", f.said(), p.ticket)
	}
}

func TestLostAnswersLeaveOneIncident(t *testing.T) {
	for name, steps := range map[string]func(p *paged, lose func()){
		"the first": func(p *paged, lose func()) { lose() },
		"a following one": func(p *paged, lose func()) {
			p.deliver(review.NewsOpened)
			p.do(review.Ack, time.Time{})
			p.open(review.Warning)
			lose()
		},
	} {
		p, f := newPagedByPagerDuty(t)
		steps(p, func() { f.faults(pagingFaults{after: dropOnce(http.MethodPost, "/enqueue")}) })
		before := p.ticket
		if err := p.try(review.NewsOpened); err == nil || isPermanent(err) || p.ticket != before {
			t.Fatalf("%s: %v", name, err)
		}
		p.deliver(review.NewsOpened)
		open := 0
		for _, i := range f.incidents {
			if i.status != "resolved" {
				open++
			}
		}
		if open != 1 || f.unresolved(p.ticket.Ref) == nil {
			t.Errorf("%s: %s, ticket %+v", name, f.said(), p.ticket)
		}
	}
}

func TestPagerDutysRefusalsAreSorted(t *testing.T) {
	for name, tc := range map[string]struct {
		fault     func(http.ResponseWriter, *http.Request) bool
		permanent bool
		after     time.Duration
		says      string
	}{
		"bad key": {answers(400, nil, `{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}`),
			true, 0, "Event object is invalid: Length of 'routing_key' is incorrect (should be 32 characters); check that the token is"},
		"echoing":    {answers(400, nil, `{"message":"no integration `+pagerKey+`"}`), true, 0, "no integration [redacted]"},
		"throttled":  {answers(429, nil, "Too many API calls"), false, 0, "429"},
		"asks":       {answers(429, map[string]string{"Retry-After": "60"}, ""), false, time.Minute, "429"},
		"down":       {answers(500, nil, ""), false, 0, "500"},
		"broken off": {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, false, 0, "no answer"},
	} {
		p, f := newPagedByPagerDuty(t)
		f.faults(pagingFaults{before: tc.fault})
		err := p.try(review.NewsOpened)
		if err == nil || isPermanent(err) != tc.permanent || retryAfter(err) != tc.after || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: permanent %t, after %s: %v", name, isPermanent(err), retryAfter(err), err)
		}
	}
}

func TestIncidentsCarryForeignTextHarmlessly(t *testing.T) {
	p, f := newPagedByPagerDuty(t)
	r := p.review()
	r.Title, r.Reason, r.Runbook, p.card.Runbook, p.card.Owner = strings.Repeat(hostileText, 20), strings.Repeat(hostileText, 500), "javascript:alert(1)", "", hostileText
	p.deliver(review.NewsOpened)
	e := f.events[0]
	texts := []string{e.Payload.Summary}
	for _, v := range e.Payload.Details {
		texts = append(texts, v)
	}
	for _, text := range texts {
		for _, active := range activeParts {
			if strings.Contains(text, active) || len(text) > 4000 {
				t.Errorf("%d bytes, %q in %q", len(text), active, text[:min(len(text), 200)])
			}
		}
	}
	if len(e.Links) != 1 {
		t.Errorf("links %v", e.Links)
	}
}

func TestAReviewOfNothingInParticularIsPagedToo(t *testing.T) {
	p, f := newPagedByPagerDuty(t)
	p.card = review.Card{Review: review.Review{ID: pagedID, Severity: review.Info, State: review.Open, OpenSince: t0}}
	p.deliver(review.NewsOpened)
	if got := f.events[0].Payload; got.Source != "modelwarden" || got.Summary != "review "+pagedID {
		t.Errorf("payload %+v", got)
	}
}

func TestPagerDutyTakesNoNotices(t *testing.T) {
	p, f := newPagedByPagerDuty(t)
	_, err := p.to.Deliver(t.Context(), effect.Delivery{Key: "n", Card: p.card, Once: true, Now: p.now})
	if !isPermanent(err) || len(f.events) != 0 {
		t.Errorf("%d events, %v", len(f.events), err)
	}
}

func TestPagerDutysSecretsAreNeeded(t *testing.T) {
	for want, target := range map[string]policy.PagerDutyTarget{
		"targets.oncall.pagerDuty.token: is missing":     {},
		"targets.oncall.pagerDuty.tokenEnv: ":            {Token: policy.Token{TokenEnv: "NOT_SET"}},
		"targets.oncall.pagerDuty.callbackSecretFile: ":  {Token: policy.Token{TokenEnv: "PD"}, Callback: policy.Callback{CallbackSecretFile: "/does/not/exist"}},
		"targets.oncall.pagerDuty.url: want an absolute": {URL: "ftp://contoso.example", Token: policy.Token{TokenEnv: "PD"}},
	} {
		_, err := effect.NewTicketers(map[string]policy.Target{"oncall": {PagerDuty: &target}}, effect.Deps{LookupEnv: oneSecret("PD")})
		assertNoLeak(t, policy.Outcome{}, err)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
