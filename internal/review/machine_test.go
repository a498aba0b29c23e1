package review

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

func breach(key string, at time.Time) Signal {
	return Signal{
		Cause: "drift of churn", Key: key, At: at, Title: "churn drifts", Reason: "PSI 0.35 over 0.2",
		Severity: Warning, Asset: "monitor/ws/m", Model: "model/ws/churn", Workspace: "ws", Policy: "p",
	}
}

// in makes a review that stands in a state.
func in(t *testing.T, s State) Review {
	t.Helper()
	r := opened(breach("k", t0), newID(digest("c"), 1), "", t0)
	var err error
	switch s {
	case Acknowledged:
		_, err = r.Apply(Command{Verb: Ack, By: "ann"}, t0)
	case Snoozed:
		_, err = r.Apply(Command{Verb: Snooze, By: "ann", Until: t0.Add(time.Hour)}, t0)
	case Resolved:
		_, err = r.Apply(Command{Verb: Resolve, By: "ann"}, t0)
	}
	if err != nil || r.State != s {
		t.Fatalf("setting up %s: state %s, %v", s, r.State, err)
	}
	return r
}

func TestVerbsMoveAReviewAsTheDiagramSays(t *testing.T) {
	const refused = State("refused")
	for _, tc := range []struct {
		from    State
		verb    Verb
		to      State
		changed bool
	}{
		{Open, Ack, Acknowledged, true},
		{Open, Snooze, Snoozed, true},
		{Open, Resolve, Resolved, true},
		{Open, Remark, Open, true},
		{Acknowledged, Ack, Acknowledged, false},
		{Acknowledged, Snooze, Snoozed, true},
		{Acknowledged, Resolve, Resolved, true},
		{Acknowledged, Remark, Acknowledged, true},
		{Snoozed, Ack, Acknowledged, true},
		{Snoozed, Snooze, Snoozed, true},
		{Snoozed, Resolve, Resolved, true},
		{Snoozed, Remark, Snoozed, true},
		{Resolved, Ack, refused, false},
		{Resolved, Snooze, refused, false},
		{Resolved, Resolve, Resolved, false},
		{Resolved, Remark, Resolved, true},
	} {
		t.Run(fmt.Sprintf("%s a review that is %s", tc.verb, tc.from), func(t *testing.T) {
			r := in(t, tc.from)
			c := Command{Verb: tc.verb, By: "bob", Why: "because"}
			if tc.verb == Snooze {
				c.Until = t0.Add(2 * time.Hour)
			}
			changed, err := r.Apply(c, t0.Add(time.Minute))
			var te *TransitionError
			if tc.to == refused {
				if !errors.As(err, &te) || te.From != tc.from || te.Verb != tc.verb || r.State != tc.from {
					t.Fatalf("want a TransitionError and no change, got %v and state %s", err, r.State)
				}
				return
			}
			if err != nil || r.State != tc.to || changed != tc.changed {
				t.Fatalf("got state %s, changed %t, %v; want %s, %t", r.State, changed, err, tc.to, tc.changed)
			}
		})
	}
}

func TestCommandsThatAreWrongAnywhere(t *testing.T) {
	for _, tc := range []struct {
		name, field string
		c           Command
	}{
		{"unknown verb", "verb", Command{Verb: "escalate", By: "ann"}},
		{"nobody", "by", Command{Verb: Ack, By: "  "}},
		{"a very long name", "by", Command{Verb: Ack, By: strings.Repeat("a", 201)}},
		{"a novel", "why", Command{Verb: Ack, By: "ann", Why: strings.Repeat("a", 2001)}},
		{"a comment without text", "why", Command{Verb: Remark, By: "ann", Why: " \n"}},
		{"a snooze without end", "until", Command{Verb: Snooze, By: "ann"}},
		{"a snooze into the past", "until", Command{Verb: Snooze, By: "ann", Until: t0}},
		{"a snooze for ever", "until", Command{Verb: Snooze, By: "ann", Until: t0.Add(MaxSnooze + time.Second)}},
		{"an end for an ack", "until", Command{Verb: Ack, By: "ann", Until: t0.Add(time.Hour)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := in(t, Open)
			before := asJSON(t, r)
			_, err := r.Apply(tc.c, t0)
			var ce *CommandError
			if !errors.As(err, &ce) || ce.Field != tc.field {
				t.Fatalf("got %v, want a CommandError about %s", err, tc.field)
			}
			if asJSON(t, r) != before {
				t.Error("the refused command changed the review")
			}
		})
	}
}

func TestRepeatOnASetAsideReviewOnlyCounts(t *testing.T) {
	for _, s := range []State{Acknowledged, Snoozed} {
		r := in(t, s)
		r.merge(breach("k2", t0.Add(time.Minute)), t0.Add(time.Minute))
		if r.State != s || r.Count != 2 {
			t.Errorf("%s: a repeat led to %s with count %d", s, r.State, r.Count)
		}
		worse := breach("k3", t0.Add(2*time.Minute))
		worse.Severity, worse.AckWithin = Critical, 10*time.Minute
		r.merge(worse, t0.Add(2*time.Minute))
		if r.State != Open || r.Severity != Critical || !r.AckBy.Equal(t0.Add(12*time.Minute)) || !r.AckedAt.IsZero() {
			t.Errorf("%s: a worse signal led to %s %s, acknowledge by %s", s, r.State, r.Severity, r.AckBy)
		}
		if last := r.History[len(r.History)-1]; !strings.Contains(last.Why, "from warning to critical") {
			t.Errorf("history does not say why it opened again: %+v", last)
		}
	}
}

func TestMilderSignalKeepsTheWorstHeadline(t *testing.T) {
	bad := breach("k1", t0)
	bad.Severity, bad.Title = Critical, "the bad one"
	r := opened(bad, newID(digest("c"), 1), "", t0)
	r.merge(breach("k2", t0.Add(time.Hour)), t0.Add(time.Hour))
	if r.Title != "the bad one" || r.Severity != Critical {
		t.Errorf("got %s %q", r.Severity, r.Title)
	}
}

func TestTimeAlone(t *testing.T) {
	s := breach("k", t0)
	s.AckWithin = 30 * time.Minute
	r := opened(s, newID(digest("c"), 1), "", t0)
	deadline := t0.Add(30 * time.Minute)
	if r.Advance(deadline.Add(-time.Nanosecond)) || !r.AckBy.Equal(deadline) {
		t.Fatalf("escalated before its deadline %s", r.AckBy)
	}
	if !r.Advance(deadline) || !r.Escalated.Equal(deadline) || r.State != Open {
		t.Fatalf("not escalated at the deadline: %+v", r)
	}
	if r.Advance(deadline.Add(time.Hour)) {
		t.Error("escalated twice")
	}
	until := t0.Add(5 * time.Hour)
	if _, err := r.Apply(Command{Verb: Snooze, By: "ann", Until: until}, t0.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if r.Advance(until.Add(-time.Second)) || r.State != Snoozed || !r.AckBy.IsZero() {
		t.Fatal("woke early, or kept a deadline while asleep")
	}
	r.Advance(until.Add(10 * time.Minute))
	if r.State != Open || !r.OpenSince.Equal(until) || !r.AckBy.Equal(until.Add(30*time.Minute)) || !r.Escalated.IsZero() {
		t.Errorf("after the snooze: %s since %s, acknowledge by %s", r.State, r.OpenSince, r.AckBy)
	}
}

// anyHistory draws a life: signals, verbs, passes and the passing of time.
func anyHistory(t *rapid.T, after func(r *Review, now time.Time)) {
	now := t0
	r := opened(anySignal(t, 0, now), newID(digest("c"), 1), "", now)
	after(&r, now)
	rules := Rules{ReopenWithin: 6 * time.Hour, HoldDown: time.Duration(rapid.IntRange(0, 2).Draw(t, "hold down")) * time.Hour}
	for i := range rapid.IntRange(0, 120).Draw(t, "steps") {
		now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
		switch kind := rapid.IntRange(0, 11).Draw(t, "kind"); {
		case kind < 4:
			r.Advance(now)
			s := anySignal(t, i+1, now)
			if r.comesBack(s, rules, now) {
				r.reopen(now)
			}
			if r.State != Resolved {
				r.merge(s, now)
			}
		case kind == 4:
			r.pass(Passing{At: now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "pass")) * time.Minute), Text: "passed"}, rules, now)
		case kind == 5:
			r.Advance(now)
		case kind == 6:
			until := now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "silence")) * time.Minute)
			r.quiet([]Silence{{ID: "s", By: "ann", Why: "known", From: now, Until: until}}, now)
		case kind == 7 && r.Silence != nil:
			r.Advance(now)
			if r.Silence != nil {
				r.lift(now, "ended")
			}
		default:
			_, _ = r.Apply(anyCommand(t, now), now)
		}
		after(&r, now)
	}
}

func anySignal(t *rapid.T, i int, now time.Time) Signal {
	s := breach(fmt.Sprintf("k%d", i), now.Add(-time.Duration(rapid.IntRange(0, 120).Draw(t, "late"))*time.Minute))
	s.Severity = rapid.SampledFrom(Severities()).Draw(t, "severity")
	s.AckWithin = time.Duration(rapid.IntRange(0, 3).Draw(t, "within")) * 20 * time.Minute
	for n := range rapid.IntRange(0, 3).Draw(t, "rungs") {
		s.Chain = append(s.Chain, Rung{Target: fmt.Sprintf("t%d", n), Within: Interval(n) * Interval(15*time.Minute)})
	}
	s.Repeat = rapid.IntRange(0, 2).Draw(t, "repeat")
	s.Asset = fmt.Sprintf("monitor/ws/m%d", rapid.IntRange(0, 70).Draw(t, "asset"))
	return s
}

func anyCommand(t *rapid.T, now time.Time) Command {
	c := Command{Verb: rapid.SampledFrom(Verbs()).Draw(t, "verb"), By: "ann", Why: "why"}
	if c.Verb == Snooze {
		c.Until = now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "snooze")) * time.Minute)
	}
	return c
}

func TestNoLifeBreaksTheInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last, resolvedAs, reopened := State(""), "", 0
		anyHistory(t, func(r *Review, now time.Time) {
			r.Advance(now)
			if problem := broken(r, now); problem != "" {
				t.Fatalf("%s: %+v", problem, *r)
			}
			if last == Resolved && r.Reopened == reopened && r.State != Resolved {
				t.Fatalf("no longer resolved, and not reopened: %+v", *r)
			}
			if r.Reopened != reopened {
				resolvedAs, reopened = "", r.Reopened
			}
			if r.State == Resolved {
				was := fmt.Sprint(r.ResolvedAt, *r.Resolution, r.Count)
				if resolvedAs != "" && was != resolvedAs {
					t.Fatalf("a resolution changed from %s to %s", resolvedAs, was)
				}
				resolvedAs = was
			}
			last = r.State
		})
	})
}

// broken names the first invariant that does not hold.
func broken(r *Review, now time.Time) string {
	switch {
	case !r.AckBy.IsZero() && r.State != Open:
		return "a deadline runs though nobody is waited for"
	case r.State == Open && r.AckWithin > 0 && r.AckBy.IsZero() && r.Escalated.IsZero() && r.Silence == nil:
		return "an open review lost its deadline"
	case r.State == Open && r.AckBy.IsZero() && r.AckWithin > 0 && r.Silence == nil && r.hasNext():
		return "the escalation stopped before its end"
	case r.State == Open && !r.AckBy.IsZero() && !now.Before(r.AckBy) && r.ResolveAt.IsZero():
		return "a missed deadline did not escalate"
	case r.Silence != nil && (!r.AckBy.IsZero() || !now.Before(r.Silence.Until) || r.State == Resolved):
		return "a silence that is over, or does not hold"
	case (r.Pending == nil) != r.ResolveAt.IsZero(), r.Pending != nil && r.State == Resolved:
		return "a passing that waits for nothing"
	case !r.ResolveAt.IsZero() && !now.Before(r.ResolveAt):
		return "a cause that stayed away did not resolve"
	case !r.Due().IsZero() && !now.Before(r.Due()):
		return "something was due and did not happen"
	case (r.State == Snoozed) == r.SnoozedUntil.IsZero():
		return "a snooze without end, or an end without a snooze"
	case (r.State == Resolved) != (r.Resolution != nil), (r.State == Resolved) == r.ResolvedAt.IsZero():
		return "resolution and state disagree"
	case r.State == Acknowledged && (r.AckedAt.IsZero() || r.AckedBy == ""):
		return "acknowledged by nobody"
	case r.State == Open && !r.AckedAt.IsZero():
		return "open and acknowledged"
	case r.History[len(r.History)-1].To != r.State:
		return "the history ends elsewhere"
	case len(r.Signals) > MaxSignals, len(r.Assets) > MaxAssets, len(r.History) > MaxHistory, len(r.Comments) > MaxComments:
		return "a list outgrew its bound"
	case r.HistoryDropped > 0 && len(r.History) < MaxHistory:
		return "history dropped without need"
	}
	for i := 1; i < len(r.History); i++ {
		if r.History[i].From != r.History[i-1].To {
			return "the history has a gap"
		}
	}
	for i := 1; i < len(r.Signals); i++ {
		if r.Signals[i].At.After(r.Signals[i-1].At) {
			return "signals are not newest first"
		}
	}
	return ""
}

func TestAdvancingOftenOrLateIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anyHistory(t, func(r *Review, now time.Time) {
			later := now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "wait")) * time.Minute)
			once, often := copyOf(t, r), copyOf(t, r)
			once.Advance(later)
			for at := now; at.Before(later); at = at.Add(7 * time.Minute) {
				often.Advance(at)
			}
			often.Advance(later)
			if !reflect.DeepEqual(once, often) {
				t.Fatalf("once:  %+v\noften: %+v", once, often)
			}
		})
	})
}

func TestReviewSurvivesStorage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anyHistory(t, func(r *Review, _ time.Time) {
			if again := copyOf(t, r); !reflect.DeepEqual(again, *r) {
				t.Fatalf("wrote %+v\nread  %+v", *r, again)
			}
		})
	})
}

func TestIDsReadBackAndNothingElseDoes(t *testing.T) {
	for n := range 120 {
		d := digest(fmt.Sprint("cause ", n))
		gotDigest, got, err := splitID(newID(d, n+1))
		if err != nil || gotDigest != d || got != n+1 {
			t.Fatalf("%d: %v", n, err)
		}
	}
	good := digest("c")
	for _, id := range []string{"", "-", "-1", good, good + "-", good + "-0", good + "-01", good + "-+1", good + "--1",
		good + "-1x", "short-1", strings.ToUpper(good) + "-1", strings.Repeat("1", 26) + "-1", good + "-99999999999999999999"} {
		if _, _, err := splitID(id); err == nil {
			t.Errorf("%q was accepted", id)
		}
	}
}

// fataler is what testing.T and rapid.T share here.
type fataler interface{ Fatal(args ...any) }

func asJSON(t fataler, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func copyOf(t fataler, r *Review) Review {
	var out Review
	if err := json.Unmarshal([]byte(asJSON(t, r)), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLongLivesStayBounded(t *testing.T) {
	r := in(t, Open)
	for i := range 3 * MaxHistory {
		now := t0.Add(time.Duration(i+1) * time.Minute)
		verb := Command{Verb: Snooze, By: "ann", Until: now.Add(time.Second), Why: "x"}
		if _, err := r.Apply(verb, now); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Apply(Command{Verb: Remark, By: "ann", Why: fmt.Sprint(i)}, now); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.History) != MaxHistory || len(r.Comments) != MaxComments || r.HistoryDropped == 0 || r.CommentsDropped != 3*MaxHistory-MaxComments {
		t.Errorf("%d+%d transitions, %d+%d comments", len(r.History), r.HistoryDropped, len(r.Comments), r.CommentsDropped)
	}
	if last := r.Comments[MaxComments-1].Text; last != fmt.Sprint(3*MaxHistory-1) {
		t.Errorf("the newest comment is %q", last)
	}
}

func FuzzClipKeepsTextValidAndShort(f *testing.F) {
	f.Add("short")
	f.Add(strings.Repeat("é", 100))
	f.Add(strings.Repeat("🦆", 50))
	f.Fuzz(func(t *testing.T, s string) {
		got := clip(s, 80)
		if len(got) > 80 || utf8.ValidString(s) && !utf8.ValidString(got) || len(s) <= 80 && got != s {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
	})
}
