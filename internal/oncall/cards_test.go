package oncall_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// acted is what the policy of the stories decides.
func acted(actions ...policy.PlannedAction) policy.Decision {
	return policy.Decision{
		Policy: "churn-drift", PolicyHash: "old", Signal: "churn_monitor_data_drift", Verdict: policy.Act, Reason: policy.ReasonActed,
		Detail: "1 of the last 1 windows breached", Condition: "breach.value > 0.25", Inputs: map[string]any{"breach.value": 0.35, "breach.metric": "PopulationStabilityIndex"},
		Actions: actions,
	}
}

func planned(verdict policy.Verdict, reason string) policy.PlannedAction {
	return policy.PlannedAction{Type: policy.Retrain, Target: "churn-pipeline", Verdict: verdict, Reason: reason, Detail: "because"}
}

// healthy is a model in service that its monitor has found well.
func healthy(t *testing.T) *world {
	w := newWorld(t)
	w.train(1, "7", "14", "aaa111")
	w.deploy(2, "7", "blue", map[string]int{"blue": 100})
	w.passes(24, "mon_1")
	return w
}

func TestWhatChangedSinceTheHealthyWindowIsNamed(t *testing.T) {
	w := healthy(t)
	w.train(30, "8", "15", "bbb222")
	w.deploy(32, "8", "green", map[string]int{"blue": 90, "green": 10})
	w.deploy(34, "8", "green", map[string]int{"green": 100})
	c := w.card(w.drifts(48, "mon_2", 0.35, acted(planned(policy.Act, policy.ReasonActed))))
	if !c.LastHealthy.Equal(hour(24)) {
		t.Errorf("last healthy %s", c.LastHealthy)
	}
	want := []string{
		"data data/contoso-ml/churn-data/15: version 15 read by the job of version 8 (the one before read version 14)",
		"code job/contoso-ml/train_8: commit bbb222 used by the job of version 8 (was aaa111)",
		"job job/contoso-ml/train_8: made version 8 of churn",
		"deployment deployment/contoso-ml/churn-ep/green: new deployment, serves churn version 8",
		"traffic endpoint/contoso-ml/churn-ep: traffic blue 90 %, green 10 % (was blue 100 %)",
		"model model/contoso-ml/churn/8: version 8 in service at churn-ep/green (version 7 was in service before)",
		"deployment deployment/contoso-ml/churn-ep/green: deployed again, still serves churn version 8",
		"traffic endpoint/contoso-ml/churn-ep: traffic green 100 % (was blue 90 %, green 10 %)",
	}
	var got []string
	for _, s := range c.Changed {
		got = append(got, fmt.Sprintf("%s %s: %s", s.Kind, s.Asset, s.What))
	}
	for _, s := range want {
		if !slices.Contains(got, s) {
			t.Errorf("%q is not told", s)
		}
	}
	if len(got) != len(want) || len(c.Gaps) != 0 {
		t.Errorf("got %s\ngaps %q", strings.Join(got, "\n"), c.Gaps)
	}
	if c.Owner != "growth-ml" || c.Runbook != "https://wiki.contoso.example/churn" {
		t.Errorf("owner %q, runbook %q", c.Owner, c.Runbook)
	}
}

func TestNothingChangedIsNothing(t *testing.T) {
	w := healthy(t)
	c := w.card(w.drifts(48, "mon_2", 0.35))
	if len(c.Changed) != 0 || !c.LastHealthy.Equal(hour(24)) {
		t.Errorf("since %s: %+v", c.LastHealthy, c.Changed)
	}
	if text := review.Text(&c, w.now); !strings.Contains(text, "nothing that the lineage knows of") {
		t.Error(text)
	}
}

func TestWhatCameAfterTheReviewIsToldApart(t *testing.T) {
	w := healthy(t)
	r := w.drifts(48, "mon_2", 0.35)
	w.train(50, "8", "15", "bbb222")
	c := w.card(r)
	if len(c.Changed) != 1 || c.Changed[0].What != "version 8 registered, not the one in service" {
		t.Errorf("%+v", c.Changed)
	}
	if text := review.Text(&c, w.now); !strings.Contains(text, "(after this began)") {
		t.Error(text)
	}
}

func TestWithoutAHealthyWindowTheCardSaysSinceWhen(t *testing.T) {
	w := newWorld(t)
	r := w.drifts(48, "mon_1", 0.35)
	c := w.card(r)
	if !c.LastHealthy.IsZero() || !strings.Contains(strings.Join(c.Gaps, "\n"), "the 7 days before the review opened (from 2026-10-28 00:00Z)") {
		t.Errorf("%s %q", c.LastHealthy, c.Gaps)
	}
	w.now = hour(50)
	_, err := w.desk.Do(t.Context(), r.ID, review.Command{Verb: review.Resolve, By: "ann", Why: "feed repaired"})
	must(t, err)
	c = w.card(w.drifts(60, "mon_2", 0.4))
	if !strings.Contains(strings.Join(c.Gaps, "\n"), "since review "+r.ID+" was resolved (from 2026-11-04 02:00Z)") {
		t.Errorf("%q", c.Gaps)
	}
	if len(c.Similar) != 1 || c.Similar[0].Resolution != "feed repaired" || c.Similar[0].ResolvedBy != "ann" || !c.Similar[0].SameCause {
		t.Errorf("%+v", c.Similar)
	}
}

func TestTheMetricIsSeenOverTime(t *testing.T) {
	w := healthy(t)
	w.drifts(48, "mon_2", 0.3)
	w.passes(72, "mon_3")
	c := w.card(w.drifts(96, "mon_4", 0.35))
	if len(c.Measured) != 1 || len(c.Measured[0].Points) != 4 || *c.Measured[0].Threshold != 0.2 {
		t.Fatalf("%+v", c.Measured)
	}
	var got []string
	for _, p := range c.Measured[0].Points {
		v := "passed"
		if p.Value != nil {
			v = fmt.Sprint(*p.Value)
		}
		got = append(got, fmt.Sprint(p.At.Sub(t0).Hours(), " ", v, " ", p.Breached))
	}
	if strings.Join(got, "; ") != "24 passed false; 48 0.3 true; 72 passed false; 96 0.35 true" {
		t.Errorf("%q", got)
	}
	if text := review.Text(&c, w.now); !strings.Contains(text, "PopulationStabilityIndex of age in churn_monitor_data_drift ·▇·█ 0.35 against 0.2, 2 of the last 4 windows") {
		t.Error(text)
	}
}

func TestWhatWasDoneAndWhatWasHeldBack(t *testing.T) {
	w := healthy(t)
	r := w.drifts(48, "mon_2", 0.35, acted(planned(policy.Act, policy.ReasonActed)),
		policy.Decision{Policy: "other", Verdict: policy.Hold, Reason: policy.ReasonConditionFalse},
		policy.Decision{Policy: "slow", Verdict: policy.Hold, Reason: policy.ReasonAllHeld, Actions: []policy.PlannedAction{planned(policy.Hold, policy.ReasonCooldown)}})
	w.act(r, policy.Action{Type: policy.Retrain, Target: "churn-pipeline", Policy: "churn-drift", State: policy.Running, Created: hour(48), Outcome: &policy.Outcome{Summary: "submitted yak", URL: "https://ml.azure.com/yak"}})
	w.act(r, policy.Action{Type: policy.Rollback, Target: "churn-ep", Policy: "churn-drift", State: policy.Suppressed, SuppressedBy: policy.ReasonBudget, Created: hour(48)})
	w.act(r, policy.Action{Type: policy.Review, Target: "desk", State: policy.Succeeded, Created: hour(48)})
	c := w.card(r)
	if len(c.Why) != 2 || c.Why[0].Policy != "churn-drift" || !strings.Contains(c.Why[0].Reason, "because breach.value > 0.25") ||
		!slices.Equal(c.Why[0].Values, []string{"breach.metric = PopulationStabilityIndex", "breach.value = 0.35"}) {
		t.Errorf("why %+v", c.Why)
	}
	w.act(r, policy.Action{Type: policy.Review, Target: "hook", State: policy.Pending, LastError: "connection refused", Created: hour(47)})
	if late := w.card(r); len(late.Done) != 2 || late.Done[1].Target != "hook" || late.Done[1].Text != "connection refused" {
		t.Errorf("who could not be told: %+v", late.Done)
	}
	if len(c.Done) != 1 || c.Done[0].Text != "submitted yak" || c.Done[0].URL != "https://ml.azure.com/yak" {
		t.Errorf("done %+v", c.Done)
	}
	var held []string
	for _, d := range c.Held {
		held = append(held, d.Type+" "+d.State)
	}
	slices.Sort(held)
	if !slices.Equal(held, []string{"retrain cooldown", "rollback budget"}) {
		t.Errorf("held %q", held)
	}
}

func TestVerbsFollowTheStateAndTheTargets(t *testing.T) {
	w := healthy(t)
	r := w.drifts(48, "mon_2", 0.35)
	w.cards.URL = "https://modelwarden.contoso.example/"
	w.cards.Orders = func(review.Review) (retrain, rollback []string) { return []string{"churn-pipeline"}, nil }
	w.cards.Tickets = func(context.Context, review.Review) ([]review.Ticket, error) {
		return []review.Ticket{{Target: "pager"}}, nil
	}
	c := w.card(r)
	if !slices.Contains(c.Verbs, review.RetrainNow) || slices.Contains(c.Verbs, review.RollBackNow) || !slices.Contains(c.Verbs, review.Ack) || len(c.Tickets) != 1 {
		t.Errorf("%v %v", c.Verbs, c.Tickets)
	}
	if c.URL != "https://modelwarden.contoso.example/reviews/"+r.ID {
		t.Error(c.URL)
	}
	r, err := w.desk.Do(t.Context(), r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	must(t, err)
	if c = w.card(r); !slices.Equal(c.Verbs, []review.Verb{review.Reopen, review.Remark}) {
		t.Errorf("resolved: %v", c.Verbs)
	}
}

func TestWhatCantBeReadIsAGap(t *testing.T) {
	w := healthy(t)
	w.cards.Tickets = func(context.Context, review.Review) ([]review.Ticket, error) { return nil, errFault }
	r := w.drifts(48, "mon_2", 0.35)
	for _, part := range []string{"monitor/", "model/", "deployment/", "endpoint/", "review"} {
		w.store.fails = func(partition string) bool { return strings.HasPrefix(partition, part) }
		c, err := w.cards.Of(t.Context(), r)
		if err != nil || c.Review.ID != r.ID || len(c.Gaps) == 0 {
			t.Errorf("%s away: %v, gaps %q", part, err, c.Gaps)
		}
		if strings.Contains(strings.Join(c.Gaps, "\n"), errFault.Error()) {
			t.Errorf("%s: an internal error is shown: %q", part, c.Gaps)
		}
	}
	w.store.fails = func(string) bool { return true }
	if _, err := w.cards.Of(t.Context(), r); !errors.Is(err, errFault) {
		t.Errorf("all away: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.cards.Of(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("gone: %v", err)
	}
}

func TestACardReadsABoundedPartOfTheStore(t *testing.T) {
	w := healthy(t)
	for i := range 60 {
		w.deploy(25+i/10, fmt.Sprint(8+i), fmt.Sprint("d", i), nil)
	}
	var r review.Review
	for i := range 30 {
		r = w.drifts(48+i, fmt.Sprint("mon_", i+2), 0.35, acted(planned(policy.Hold, policy.ReasonCooldown)))
	}
	for i := range 300 {
		w.now = t0.Add(time.Duration(i) * time.Minute)
		_, _, err := w.desk.Raise(t.Context(), review.Signal{Cause: fmt.Sprint("c", i), Key: "k", At: w.now, Title: "t", Severity: review.Info})
		must(t, err)
	}
	w.store.reads.Store(0)
	c := w.card(r)
	if n := w.store.reads.Load(); n > 5+20+40+5+210 {
		t.Errorf("%d reads", n)
	}
	if len(c.Changed) > review.MaxCard || c.MoreChanged == 0 && len(c.Changed) == review.MaxCard {
		t.Errorf("%d changes and %d more", len(c.Changed), c.MoreChanged)
	}
}
