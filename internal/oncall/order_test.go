package oncall_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/oncall"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

const orderFile = `
policies:
  - name: other
    on: [monitor.breached]
    then: [{retrain: {target: fraud-pipeline}}, {rollback: {target: back}}]
  - name: churn-drift
    on: [monitor.breached]
    then: [{retrain: {target: churn-pipeline}}, {review: {}}]
targets:
  aa-hook: {log: {}}
  back: {webhook: {url: "https://ci.contoso.example/back", types: [rollback]}}
  churn-pipeline: {sandbox: {}}
  fraud-pipeline: {sandbox: {}}
`

const orderMonitor = "monitor/contoso-ml/churn_monitor"

// orderDesk is what an order is placed with: a store, a queue that only
// remembers, and the lines that a review was told.
type orderDesk struct {
	*oncall.Orders
	mu   sync.Mutex
	sent []lineage.Message
	told []string
	now  time.Time
}

// Send remembers messages.
func (d *orderDesk) Send(_ context.Context, m []lineage.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent = append(d.sent, m...)
	return nil
}

func newOrderDesk(t *testing.T, file string) *orderDesk {
	t.Helper()
	db, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	f, err := policy.Parse("policies.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(f, policy.CompileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := &orderDesk{now: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)}
	d.Orders = &oncall.Orders{
		Store: db.Store(), Queue: d, Set: func() *policy.Set { return set }, Now: func() time.Time { return d.now },
		Inform: func(_ context.Context, cause, key, text string) (bool, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			line := cause + "|" + key + "|" + text
			if !slices.Contains(d.told, line) {
				d.told = append(d.told, line)
			}
			return true, nil
		},
	}
	return d
}

// orderReview is a review that the policy churn-drift fed.
func orderReview() review.Review {
	return review.Review{
		ID: "aaaaaaaaaaaaaaaaaaaaaaaaaa-1", Cause: "monitor:" + orderMonitor, State: review.Open, Policies: []string{"churn-drift"},
		Model: "model/contoso-ml/churn", Workspace: "contoso-ml", Assets: []string{orderMonitor},
		Signals: []review.Note{{Key: "k2", Event: "e2@" + orderMonitor}, {Key: "k1", Event: "e1@" + orderMonitor}},
	}
}

func TestTargetsOfTheReviewsOwnPoliciesComeFirst(t *testing.T) {
	d := newOrderDesk(t, orderFile)
	retrain, rollback := d.Targets(orderReview())
	if fmt.Sprint(retrain, rollback) != "[churn-pipeline fraud-pipeline aa-hook] [back aa-hook]" {
		t.Errorf("%v %v", retrain, rollback)
	}
	many := "targets:\n"
	for i := range 30 {
		many += fmt.Sprintf("  t%d: {log: {}}\n", i)
	}
	d = newOrderDesk(t, many)
	if retrain, rollback = d.Targets(orderReview()); len(retrain) != 20 || len(rollback) != 20 {
		t.Errorf("%d and %d targets are offered", len(retrain), len(rollback))
	}
	d = newOrderDesk(t, "targets: {desk2: {review: {}}}")
	if retrain, rollback = d.Targets(orderReview()); len(retrain)+len(rollback) != 0 {
		t.Errorf("%v %v", retrain, rollback)
	}
}

func TestOrdersThatMakeNoSenseAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file            string
		t               policy.ActionType
		target, by, why string
		change          func(*review.Review)
		field, want     string
	}{
		"nobody":          {orderFile, policy.Retrain, "", " ", "x", nil, "by", "say who"},
		"a long name":     {orderFile, policy.Retrain, "", strings.Repeat("a", 201), "x", nil, "by", "at most 200"},
		"no reason":       {orderFile, policy.Retrain, "", "ada", " ", nil, "why", "say why"},
		"a long reason":   {orderFile, policy.Retrain, "", "ada", strings.Repeat("a", 2001), nil, "why", "at most 2000"},
		"unknown target":  {orderFile, policy.Retrain, "nowhere", "ada", "x", nil, "target", `unknown target "nowhere": choose from churn-pipeline, fraud-pipeline, aa-hook`},
		"wrong kind":      {orderFile, policy.Rollback, "churn-pipeline", "ada", "x", nil, "target", "churn-pipeline is a sandbox, which can't perform a rollback: choose from back, aa-hook"},
		"wrong type":      {orderFile, policy.Retrain, "back", "ada", "x", nil, "target", "can't perform a retrain"},
		"the desk":        {orderFile, policy.Retrain, "desk", "ada", "x", nil, "target", "can't perform a retrain"},
		"a choice":        {orderFile, policy.Rollback, "", "ada", "x", nil, "target", "name no target for a rollback: choose from back, aa-hook"},
		"no target":       {"targets: {d: {review: {}}}", policy.Retrain, "", "ada", "x", nil, "target", "no target of the policy file can perform a retrain"},
		"observe mode":    {"mode: observe\n" + orderFile, policy.Retrain, "", "ada", "x", nil, "target", "mode: observe"},
		"about nothing":   {orderFile, policy.Retrain, "", "ada", "x", func(r *review.Review) { r.Model, r.Assets, r.Signals = "", nil, nil }, "target", "no model and no asset"},
		"another type":    {orderFile, policy.Notify, "", "ada", "x", nil, "", "only retrain and rollback"},
		"resolved review": {orderFile, policy.Retrain, "", "ada", "x", func(r *review.Review) { r.State = review.Resolved }, "", `can't take "retrain"`},
	} {
		t.Run(name, func(t *testing.T) {
			d, r := newOrderDesk(t, c.file), orderReview()
			if c.change != nil {
				c.change(&r)
			}
			_, err := d.Place(t.Context(), r, c.t, c.target, c.by, c.why)
			var command *review.CommandError
			if err == nil || !strings.Contains(err.Error(), c.want) || (c.field != "") != errors.As(err, &command) || c.field != "" && command.Field != c.field {
				t.Errorf("%v, want %s: %s", err, c.field, c.want)
			}
			if len(d.sent)+len(d.told) > 0 {
				t.Errorf("sent %v, told %v", d.sent, d.told)
			}
		})
	}
}

func TestAnOrderIsAboutWhatTheNewestSignalIsAbout(t *testing.T) {
	d, r := newOrderDesk(t, orderFile), orderReview()
	first := policy.Action{
		ID: policy.ActionID("k1", orderMonitor), Key: "k1", Type: policy.Review, Event: "e1@" + orderMonitor, Asset: orderMonitor,
		Window: "w1", Cause: r.Cause, Inputs: map[string]any{"signal": "drift"}, Occurred: d.now.Add(-time.Hour), State: policy.Succeeded,
	}
	change, err := policy.ActionChange(first, "")
	if err == nil {
		_, err = d.Store.Commit(t.Context(), orderMonitor, []lineage.Change{change})
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.Place(t.Context(), r, policy.Retrain, "", "ada", "the feed is repaired")
	if err != nil {
		t.Fatal(err)
	}
	stored, _, err := policy.GetAction(t.Context(), d.Store, a.ID)
	if err != nil || stored.Target != "churn-pipeline" || stored.Policy != policy.Manual || stored.State != policy.Pending || stored.Overridden != policy.ReasonStorm ||
		stored.Window != "w1" || stored.Event != first.Event || stored.Asset != orderMonitor || stored.Model != r.Model || stored.Cause != r.Cause ||
		!stored.Occurred.Equal(first.Occurred) || fmt.Sprint(stored.Inputs) != "map[review:"+r.ID+" signal:drift]" ||
		stored.Title != "churn retrain asked for by ada" || stored.Reason != "ada asked for it from review "+r.ID+": the feed is repaired" {
		t.Errorf("%+v %v", stored, err)
	}
	if len(d.sent) != 2 || !d.sent[0].NotBefore.Equal(d.now.Add(2*time.Minute)) || !d.sent[1].NotBefore.IsZero() || string(d.sent[1].Body) != a.ID {
		t.Errorf("sent %+v", d.sent)
	}
	if len(d.told) != 1 || !strings.HasPrefix(d.told[0], r.Cause+"|") || !strings.Contains(d.told[0], a.ID) {
		t.Errorf("told %q", d.told)
	}
	if ids := d.listed(t); !slices.Equal(ids, []string{a.ID}) {
		t.Errorf("listed %v", ids)
	}
}

// listed are the actions in the journal.
func (d *orderDesk) listed(t *testing.T) (ids []string) {
	t.Helper()
	_, err := lineage.ActionJournal.List(t.Context(), d.Store, lineage.Span{}, "", 100, func(e lineage.JournalEntry) (bool, error) {
		ids = append(ids, e.Key)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestPressingTwiceIsOneOrder(t *testing.T) {
	d, r := newOrderDesk(t, orderFile), orderReview()
	place := func(target string) policy.Action {
		t.Helper()
		a, err := d.Place(t.Context(), r, policy.Retrain, target, "ada", "now")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := place("")
	d.now = d.now.Add(time.Hour)
	if again := place("churn-pipeline"); again.ID != first.ID {
		t.Error("under way, and another was made")
	}
	if other := place("fraud-pipeline"); other.ID == first.ID {
		t.Error("another target is another order")
	}
	end := func(a policy.Action) {
		t.Helper()
		stored, version, err := policy.GetAction(t.Context(), d.Store, a.ID)
		stored.State = policy.Failed
		if err == nil {
			_, err = policy.PutAction(t.Context(), d.Store, stored, version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	end(first)
	second := place("")
	if second.ID == first.ID {
		t.Error("an order that ended long ago can't be repeated")
	}
	end(second)
	d.now = d.now.Add(59 * time.Second)
	if again := place(""); again.ID != second.ID {
		t.Error("the repeat of a request made another")
	}
	d.now = d.now.Add(time.Second)
	if third := place(""); third.ID == second.ID || third.ID == first.ID {
		t.Error("a minute later it can't be repeated")
	}
	if len(d.listed(t)) != 4 || len(d.told) != 4 {
		t.Errorf("listed %v, told %q", d.listed(t), d.told)
	}
}

func TestOrdersFromOneReviewAreBounded(t *testing.T) {
	d, r := newOrderDesk(t, orderFile), orderReview()
	for i := range 51 {
		a, err := d.Place(t.Context(), r, policy.Retrain, "", "ada", "now")
		if i == 50 {
			var command *review.CommandError
			if !errors.As(err, &command) {
				t.Errorf("order %d: %v", i, err)
			}
			return
		}
		stored, version, _ := policy.GetAction(t.Context(), d.Store, a.ID)
		stored.State = policy.Suppressed
		if _, err := policy.PutAction(t.Context(), d.Store, stored, version); err != nil {
			t.Fatal(err)
		}
		d.now = d.now.Add(time.Hour)
	}
}

func TestManyHandsPlaceOneOrder(t *testing.T) {
	d, r := newOrderDesk(t, orderFile), orderReview()
	doc := lineage.Record{ID: lineage.AssetRecord, Body: []byte(`{"id":"` + orderMonitor + `"}`)}
	if _, err := d.Store.Commit(t.Context(), orderMonitor, []lineage.Change{{Op: lineage.Create, Record: doc}}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		wg.Go(func() {
			a, err := d.Place(t.Context(), r, policy.Retrain, []string{"churn-pipeline", "fraud-pipeline"}[i%2], "ada", "now")
			if err != nil {
				t.Error(err)
			}
			ids[i] = a.ID
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if distinct := slices.Compact(ids); len(distinct) != 2 || len(d.listed(t)) != 2 {
		t.Errorf("placed %v, listed %v", distinct, d.listed(t))
	}
	got, err := d.Store.Get(t.Context(), orderMonitor, lineage.MemoryRecord)
	if err != nil || strings.Count(string(got[0].Body), `"verdict"`) != 0 || strings.Count(string(got[0].Body), `"trials"`) != 1 || strings.Count(string(got[0].Body), "-pipeline") != 4 {
		t.Errorf("memory %s %v", got[0].Body, err)
	}
}
