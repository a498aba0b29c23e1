package effect_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// trackerFakes are the products that every law below holds for.
var trackerFakes = map[string]func(*testing.T) trackerFake{
	"github issue": newIssuesFake, "work item": newWorkItemsFake,
	"servicenow": newServiceNowFake, "jira cloud": newJiraCloud, "jira data center": newJiraServer,
}

// everyTracker runs a law against each product.
func everyTracker(t *testing.T, law func(t *testing.T, d *trackerDesk)) {
	t.Helper()
	for name, start := range trackerFakes {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			law(t, &trackerDesk{t: t, fake: f, s: f.base(), to: ticketer(t, f), card: newTrackerCard()})
		})
	}
}

const reviewKey = "abcdefghijklmnopqrstuvwxyz-3"

func newTrackerCard() review.Card {
	return review.Card{
		URL: "https://modelwarden.contoso.example/reviews/" + reviewKey,
		Review: review.Review{
			ID: reviewKey, Cause: "churn drifts", Title: "churn drifts", Reason: "PSI 0.35 over 0.2",
			Severity: review.Warning, State: review.Open, Opened: t0, Updated: t0, OpenSince: t0, LastSignal: t0,
			Count: 1, Signals: []review.Note{{At: t0, Key: "k1", Text: "PSI 0.35 over 0.2"}},
			Assets: []string{"monitor/contoso-ml/churn"}, Model: "model/contoso-ml/churn/12", Policies: []string{"churn-drift"},
			History: []review.Transition{{At: t0, By: review.System, To: review.Open}}, Rev: 1,
		},
	}
}

// trackerDesk delivers one review to a product, as the service does: what a
// call returned without an error is what the next one is given.
type trackerDesk struct {
	t      *testing.T
	fake   trackerFake
	s      *trackerServer
	to     effect.Ticketer
	card   review.Card
	ticket review.Ticket
	calls  int
}

func (d *trackerDesk) try() error {
	d.t.Helper()
	d.calls++
	now := t0.Add(time.Duration(d.calls) * time.Hour)
	out, err := d.to.Deliver(d.t.Context(), effect.Delivery{Key: reviewKey, Card: d.card, Ticket: d.ticket, Now: now})
	shown, jerr := json.Marshal(out)
	if jerr != nil {
		d.t.Fatal(jerr)
	}
	assertNoLeak(d.t, policy.Outcome{}, err, string(shown))
	for _, secret := range []string{theHook, basic("warden@contoso.example"), basic("warden")} {
		if text := fmt.Sprint(string(shown), err); strings.Contains(text, secret) {
			d.t.Errorf("a credential shows in %s", text)
		}
	}
	if err == nil {
		d.ticket = out
		if out.Target != "desk2" || out.Rev != d.card.Review.Rev || out.Updated != now || out.Failed != "" {
			d.t.Errorf("returned %+v", out)
		}
	}
	return err
}

func (d *trackerDesk) deliver() {
	d.t.Helper()
	if err := d.try(); err != nil {
		d.t.Fatal(err)
	}
}

// change does something to the review, a minute after the last change.
func (d *trackerDesk) change(f func(r *review.Review, now time.Time)) {
	r := &d.card.Review
	r.Rev++
	r.Updated = r.Updated.Add(time.Minute)
	f(r, r.Updated)
}

// enter moves the review to a state.
func (d *trackerDesk) enter(s review.State) {
	d.change(func(r *review.Review, now time.Time) {
		r.History = append(r.History, review.Transition{At: now, By: "ana@contoso.example", From: r.State, To: s})
		r.State, r.Resolution, r.AckedBy = s, nil, ""
		switch s {
		case review.Acknowledged:
			r.AckedBy = "ana@contoso.example"
		case review.Resolved:
			r.ResolvedAt, r.Resolution = now, &review.Resolution{By: "ana@contoso.example", Cause: "upstream fixed"}
		case review.Snoozed:
			r.SnoozedUntil = now.Add(time.Hour)
		}
	})
}

// only is the single ticket there is.
func (d *trackerDesk) only() *fakeTicket {
	d.t.Helper()
	live := d.s.live()
	if len(live) != 1 {
		d.t.Fatalf("%d tickets", len(live))
	}
	return live[0]
}

func (d *trackerDesk) shows(want review.State) {
	d.t.Helper()
	if k := d.only(); !d.fake.shows(k, want) {
		d.t.Errorf("the ticket is %q, labelled %q: it does not show %q", k.status, k.labels, want)
	}
}

func TestTrackersOpenATicketThatSaysWhatIsWrong(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.deliver()
		k := d.only()
		if k.title != "[warning] churn drifts (churn)" {
			t.Errorf("title %q", k.title)
		}
		for _, part := range []string{"PSI 0.35 over 0.2", d.card.URL, "churn-drift", "2026-03-02 10:00:00Z"} {
			if !strings.Contains(k.body, part) {
				t.Errorf("%q is not in the body:\n%s", part, k.body)
			}
		}
		if d.ticket.Ref != k.ref || !strings.HasPrefix(d.ticket.URL, "http") || d.ticket.State != review.Open || d.ticket.Severity != review.Warning {
			t.Errorf("returned %+v", d.ticket)
		}
		d.shows(review.Open)
	})
}

func TestTrackersAreNotToldTheSameTwice(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		pager := review.Ticket{Target: "pager", Ref: "p", Updated: t0, Rev: 7}
		d.card.Tickets = []review.Ticket{pager}
		d.deliver()
		asked := len(d.s.requests)
		d.deliver()
		pager.Updated, pager.Rev = t0.Add(time.Hour), 8
		d.card.Tickets = []review.Ticket{d.ticket, pager}
		d.deliver()
		if more := d.s.requests[asked:]; d.s.written() != 1 || len(more) != 0 {
			t.Errorf("%d changes, and then %q", d.s.written(), more)
		}
	})
}

func TestTrackersAdoptWhatTheyMadeBefore(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.deliver()
		first := d.ticket
		for _, s := range []review.State{review.Open, review.Acknowledged, review.Resolved, review.Open} {
			d.enter(s)
			d.ticket = review.Ticket{}
			d.deliver()
			if d.ticket.Ref != first.Ref || d.ticket.State != s || d.ticket.URL == "" {
				t.Errorf("%s: adopted %+v", s, d.ticket)
			}
			d.shows(s)
		}
	})
}

func TestTrackersFollowTheReview(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.deliver()
		for n, s := range []review.State{review.Acknowledged, review.Resolved, review.Open, review.Resolved, review.Acknowledged, review.Open} {
			d.enter(s)
			d.card.Review.Title = fmt.Sprint("churn drifts ", n)
			d.deliver()
			d.shows(s)
			if k := d.only(); d.ticket.State != s || !strings.Contains(k.title, d.card.Review.Title) || !strings.Contains(k.body, string(s)) {
				t.Errorf("%s: %+v\n%s\n%s", s, d.ticket, k.title, k.body)
			}
			writes := d.s.written()
			if d.deliver(); d.s.written() != writes {
				t.Errorf("%s: was told twice", s)
			}
		}
		d.enter(review.Snoozed)
		d.deliver()
		d.shows(review.Open)
	})
}

func TestTrackersSayWhatIsNew(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *review.Review, now time.Time)
		shows  string
	}{
		"severity": {func(r *review.Review, _ time.Time) { r.Severity = review.Critical }, "CRITICAL"},
		"comment": {func(r *review.Review, now time.Time) {
			r.Comments = append(r.Comments, review.Comment{At: now, By: "ana@contoso.example", Text: "looking into it"})
		}, "looking into it"},
		"escalation": {func(r *review.Review, now time.Time) { r.Escalated = now }, "ESCALATED"},
		"signal": {func(r *review.Review, now time.Time) {
			r.Signals = append([]review.Note{{At: now, Key: "k2", Text: "PSI 0.5"}}, r.Signals...)
			r.Count, r.LastSignal = 2, now
		}, "PSI 0.5"},
	} {
		everyTracker(t, func(t *testing.T, d *trackerDesk) {
			d.deliver()
			d.change(c.change)
			d.deliver()
			if k := d.only(); !strings.Contains(k.body, c.shows) || d.s.written() != 2 {
				t.Errorf("%s, after %d changes: %s", name, d.s.written(), k.body)
			}
			d.shows(review.Open)
		})
	}
}

func TestTrackersShowASeverityThatRose(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.deliver()
		d.enter(review.Acknowledged)
		d.deliver()
		d.enter(review.Open)
		d.card.Review.Severity = review.Critical
		d.deliver()
		d.shows(review.Open)
		if k := d.only(); !strings.HasPrefix(k.title, "[critical] ") || d.ticket.Severity != review.Critical {
			t.Errorf("%q, %+v", k.title, d.ticket)
		}
	})
}

func TestTrackersReplaceATicketThatWasDeleted(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.deliver()
		old := d.ticket
		d.only().deleted = true
		d.enter(review.Acknowledged)
		d.deliver()
		d.shows(review.Acknowledged)
		if d.ticket.Ref == old.Ref || d.ticket.URL == old.URL {
			t.Errorf("still %+v", d.ticket)
		}
		// The answer was lost: the old one is known again, the new one is found.
		second := d.ticket
		d.ticket = old
		d.deliver()
		if d.ticket.Ref != second.Ref {
			t.Errorf("%+v, want %+v", d.ticket, second)
		}
		d.only().deleted = true
		d.enter(review.Resolved)
		d.deliver()
		if live := d.s.live(); len(live) != 0 || d.ticket.Ref != "" || d.ticket.State != review.Resolved {
			t.Errorf("a ticket for a review that is over: %d, %+v", len(live), d.ticket)
		}
		d.enter(review.Open)
		d.deliver()
		d.shows(review.Open)
	})
}

func TestTrackersOpenNothingForAReviewThatIsOver(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.enter(review.Resolved)
		d.deliver()
		if d.s.written() != 0 || d.ticket.State != review.Resolved {
			t.Errorf("%d changes, %+v", d.s.written(), d.ticket)
		}
	})
}

func TestTrackersLeaveATicketWherePeopleMovedIt(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.deliver()
		k := d.only()
		d.fake.put(k, review.Acknowledged)
		d.change(func(r *review.Review, _ time.Time) { r.Title = "churn drifts more" })
		d.deliver()
		d.shows(review.Acknowledged)
		if !strings.Contains(k.title, "more") {
			t.Errorf("title %q", k.title)
		}
		d.enter(review.Acknowledged)
		d.deliver()
		d.shows(review.Acknowledged)
		d.fake.put(k, review.Resolved)
		d.enter(review.Open)
		d.deliver()
		d.shows(review.Resolved)
		status := k.status
		d.enter(review.Resolved)
		if d.deliver(); k.status != status {
			t.Errorf("moved from %q to %q", status, k.status)
		}
		d.fake.put(k, review.Acknowledged)
		d.enter(review.Open)
		d.deliver()
		d.shows(review.Acknowledged)
		d.enter(review.Resolved)
		d.deliver()
		d.shows(review.Resolved)
	})
}

// A state that stands for none of a review's was chosen by people.
func TestTrackersDoNotFightOverStatesOfPeoplesOwn(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.deliver()
		k := d.only()
		if !d.fake.put(k, "") {
			return
		}
		status := k.status
		d.ticket = review.Ticket{}
		d.deliver()
		d.enter(review.Acknowledged)
		d.deliver()
		if k.status != status {
			t.Errorf("moved from %q to %q", status, k.status)
		}
		d.enter(review.Resolved)
		d.deliver()
		d.shows(review.Resolved)
	})
}

func TestTrackersAdoptTheNewestOfSeveral(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		d.fake.plant(reviewKey)
		newest := d.fake.plant(reviewKey)
		d.fake.plant(reviewKey + "1")
		d.deliver()
		if d.ticket.Ref != newest.ref || len(d.s.live()) != 3 || !strings.Contains(newest.title, "churn drifts") {
			t.Errorf("adopted %+v of %d", d.ticket, len(d.s.live()))
		}
	})
}

func TestTrackersTakeNoNotices(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		_, err := d.to.Deliver(t.Context(), effect.Delivery{Key: reviewKey, Card: d.card, Once: true, Now: t0})
		if !isPermanent(err) || len(d.s.requests) != 0 {
			t.Errorf("%v, after %q", err, d.s.requests)
		}
	})
}
