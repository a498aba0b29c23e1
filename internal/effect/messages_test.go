package effect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// messaged is a review whose every change is a revision, as the desk commits
// it, on its way to a tool that shows messages.
type messaged struct{ *paged }

func newMessaged(t *testing.T, target policy.Target) *messaged {
	t.Helper()
	m := &messaged{newPaged(t, ticketers(t, target))}
	m.review().Rev = 1
	return m
}

// opened delivers the review for the first time.
func (m *messaged) opened() {
	m.t.Helper()
	m.deliver(review.NewsOpened)
}

// change commits a change and delivers it.
func (m *messaged) change(news review.News, f func(r *review.Review, now time.Time)) {
	m.t.Helper()
	m.commit(f)
	m.deliver(news)
}

func (m *messaged) commit(f func(r *review.Review, now time.Time)) {
	r := m.review()
	m.pass()
	r.Rev, r.Updated = r.Rev+1, m.now
	f(r, m.now)
}

// act does what a person does.
func (m *messaged) act(news review.News, c review.Command) {
	m.t.Helper()
	c.By = "Ada"
	m.change(news, func(r *review.Review, now time.Time) {
		if _, err := r.Apply(c, now); err != nil {
			m.t.Fatal(err)
		}
	})
}

func escalate(r *review.Review, now time.Time) { r.Escalated, r.Level = now, r.Level+1 }

func worsen(r *review.Review, _ time.Time) { r.Severity = review.Critical }

func reopen(r *review.Review, now time.Time) {
	r.State, r.OpenSince, r.Reopened = review.Open, now, r.Reopened+1
	r.Resolution, r.ResolvedAt = nil, time.Time{}
}

func counted(r *review.Review, now time.Time) { r.Count, r.LastSignal = r.Count+1, now }

// notify tells a notice that is no review.
func notify(m *messaged) error {
	m.t.Helper()
	out, err := m.to.Deliver(m.t.Context(), effect.Delivery{
		Key: "notice-1", Once: true, Now: m.now, News: review.NewsOpened,
		Card: review.Card{Review: review.Review{Title: "churn was retrained", Reason: "PSI 0.35 over 0.2", Severity: review.Info}},
	})
	assertNoLeak(m.t, policy.Outcome{}, err, out.Ref, out.URL)
	if out != (review.Ticket{}) {
		m.t.Errorf("a notice keeps a ticket: %+v", out)
	}
	return err
}

// hostile makes every text of the card what an attacker would like to say.
func (m *messaged) hostile() {
	r := m.review()
	r.Title, r.Reason, r.Model, r.AckedBy = hostileText, hostileText, hostileText, hostileText
	r.Policies, r.Assets = []string{hostileText}, []string{hostileText}
	r.Comments = []review.Comment{{At: t0, By: hostileText, Text: hostileText}}
	m.card.Owner = hostileText
	m.card.Changed = []review.Shift{{At: t0, Kind: review.ShiftData, Asset: hostileText, What: hostileText}}
	m.card.Done = []review.Deed{{At: t0, Type: "retrain", Target: hostileText, State: "done", Text: hostileText}}
	m.card.Similar = []review.Past{{ID: "x-1", Title: hostileText, Opened: t0, ResolvedBy: hostileText, Resolution: hostileText}}
}

// huge makes every list and text of the card as long as it gets.
func (m *messaged) huge() {
	long := ""
	for len(long) < 2000 {
		long += "<&\"ü€𝄞 "
	}
	m.hostile()
	r := m.review()
	r.Title, r.Reason = long, long
	for range 60 {
		r.Assets, r.Policies = append(r.Assets, long), append(r.Policies, long)
		r.Comments = append(r.Comments, review.Comment{At: t0, By: long, Text: long})
		m.card.Changed = append(m.card.Changed, review.Shift{At: t0, Kind: review.ShiftData, Asset: long, What: long})
		m.card.Done = append(m.card.Done, review.Deed{At: t0, Type: "retrain", Target: long, State: "done", Text: long})
		m.card.Held = append(m.card.Held, review.Deed{At: t0, Type: "rollback", Target: long, State: "freeze", Text: long})
		m.card.Similar = append(m.card.Similar, review.Past{ID: "x-1", Title: long, Opened: t0, ResolvedBy: long, Resolution: long})
	}
}

// refusedTarget builds a target that can't be, with a secret.
func refusedTarget(t *testing.T, target policy.Target, secret, says string) {
	t.Helper()
	_, err := effect.NewTicketers(map[string]policy.Target{"oncall": target}, effect.Deps{
		AllowLoopback: true, LookupEnv: func(string) (string, bool) { return secret, true },
	})
	if err == nil || !strings.Contains(err.Error(), says) || secret != "" && strings.Contains(err.Error(), secret) {
		t.Errorf("want %q, got %v", says, err)
	}
}
