package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
	"github.com/modelwarden/modelwarden/internal/worker"
)

// rig is a worker over the embedded engine with effectors that record. It is
// used inside a synctest bubble: time passes only when everything waits.
type rig struct {
	t        *testing.T
	db       *embedded.DB
	store    lineage.Store
	queue    lineage.Queue
	set      *policy.Set
	effects  *effects
	registry *prometheus.Registry
	names    int
	// replicas says that workers are not alone on the store.
	replicas bool
	// publish, if set, makes the worker publish its changes.
	publish func(policy.ChangeType) bool
	// inform and enrich, if set, are the worker's.
	inform func(ctx context.Context, cause, key, text string) (bool, error)
	enrich worker.Enricher
	// gather, if set, puts causes together.
	gather func(ctx context.Context, cause string, causes []worker.Cause) error
}

func newRig(t *testing.T, policies string, faults *porttest.Faults) *rig {
	t.Helper()
	db, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir(), MaxDeliveries: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	f, err := policy.Parse("policies.yaml", []byte(policies))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(f, policy.CompileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, db: db, store: db.Store(), queue: db.Queue(), set: set, effects: newEffects(faults)}
	if faults != nil {
		r.store = &porttest.FaultyStore{Store: r.store, Faults: faults}
		r.queue = &porttest.FaultyQueue{Queue: r.queue, Faults: faults}
	}
	return r
}

// start runs a worker and returns what stops it and waits for its end.
func (r *rig) start() (stop func()) {
	r.t.Helper()
	parser, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		r.t.Fatal(err)
	}
	r.names++
	r.registry = prometheus.NewRegistry()
	w, err := worker.New(worker.Options{
		Queue: r.queue, Store: r.store, Parser: parser, Registerer: r.registry,
		Policies: func() *policy.Set { return r.set }, Effector: r.effects.find,
		NextAttempt: func(_ string, attempts int, err error, now time.Time) (time.Time, bool) {
			var permanent *policy.PermanentError
			return now.Add(time.Duration(attempts) * time.Second), errors.As(err, &permanent) || attempts >= 50
		},
		Name: fmt.Sprint("w", r.names), Sole: !r.replicas, Batch: 16, Publications: r.publications(),
		Inform: r.inform, Enrich: r.enrich, Gather: r.gather,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx, time.Minute) }()
	return func() { cancel(); <-done }
}

func (r *rig) publications() *worker.Publications {
	if r.publish == nil {
		return nil
	}
	return &worker.Publications{Queue: r.queue, Wants: r.publish, Now: time.Now}
}

// work runs a worker for a stretch of virtual time.
func (r *rig) work(d time.Duration) {
	stop := r.start()
	time.Sleep(d)
	stop()
}

// send queues events as the subscriber would.
func (r *rig) send(events ...event.Envelope) {
	r.t.Helper()
	var batch []lineage.Message
	for _, e := range events {
		batch = append(batch, lineage.Message{ID: e.ID, Body: e.AppendJSON(nil), Properties: map[string]string{lineage.PropKind: lineage.KindEvent}})
	}
	r.sendRaw(batch...)
}

func (r *rig) sendRaw(m ...lineage.Message) {
	r.t.Helper()
	if err := r.db.Queue().Send(r.t.Context(), m); err != nil {
		r.t.Fatal(err)
	}
}

// actions are all that the journal lists, by type.
func (r *rig) actions(t policy.ActionType) []policy.Action {
	r.t.Helper()
	var out []policy.Action
	_, err := lineage.ActionJournal.List(r.t.Context(), r.db.Store(), lineage.Span{}, "", 10_000, func(e lineage.JournalEntry) (bool, error) {
		a, _, err := policy.GetAction(r.t.Context(), r.db.Store(), e.Key)
		if err == nil && a.Type == t {
			out = append(out, a)
		}
		return true, err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// logged are the keys in the event journal; a key that is there twice fails
// the test.
func (r *rig) logged() map[string]lineage.EventLine {
	r.t.Helper()
	out := map[string]lineage.EventLine{}
	_, err := lineage.EventJournal.List(r.t.Context(), r.db.Store(), lineage.Span{}, "", 100_000, func(e lineage.JournalEntry) (bool, error) {
		var line lineage.EventLine
		if _, twice := out[e.Key]; twice {
			r.t.Errorf("event %s is listed twice", e.Key)
		}
		err := json.Unmarshal(e.Body, &line)
		out[e.Key] = line
		return true, err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// effects is a target that drops repeats by key, as effectors promise, and
// counts the calls.
type effects struct {
	faults *porttest.Faults
	mu     sync.Mutex
	calls  map[string]int
	done   map[string]policy.Action
	answer func(a policy.Action) (policy.Outcome, error)
}

func newEffects(faults *porttest.Faults) *effects {
	return &effects{faults: faults, calls: map[string]int{}, done: map[string]policy.Action{}}
}

func (e *effects) find(target string, _ policy.ActionType) (policy.Effector, bool) {
	return e, target != "nowhere"
}

// Do implements policy.Effector.
func (e *effects) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	do := func(_ context.Context, a policy.Action) (policy.Outcome, error) {
		e.mu.Lock()
		e.calls[a.Key]++
		e.done[a.Key] = a
		e.mu.Unlock()
		// Not under the lock: an answer may take its time, and virtual time
		// stands still while somebody waits for a lock.
		if e.answer != nil {
			return e.answer(a)
		}
		return policy.Outcome{Summary: "done"}, nil
	}
	if e.faults != nil {
		do = porttest.Faulty(e.faults, "Effector.Do", do)
	}
	return do(ctx, a)
}

// of counts the effects of a type: distinct keys.
func (e *effects) of(t policy.ActionType) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, a := range e.done {
		if a.Type == t {
			n++
		}
	}
	return n
}

const source = "/subscriptions/5f0c1e2a-7b3d-4c55-9a10-3d2f6b8c9e01/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws"

// storyTime is some minutes into the story, which is in the past of the
// virtual clock.
func storyTime(minute int) time.Time { return time.Date(1999, 12, 1, 9, minute, 0, 0, time.UTC) }

// envelope builds an Azure ML event a number of minutes into the story.
func envelope(kind, id, subject string, minute int, data map[string]any) event.Envelope {
	body, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return event.Envelope{ID: id, Source: source, Type: "Microsoft.MachineLearningServices." + kind, Subject: subject,
		Time: storyTime(minute), Data: body}
}

// breach is one breached window of a monitor of the model m.
func breach(id, monitor, run string, minute int) event.Envelope {
	return envelope("RunStatusChanged", id, "experiments/x/runs/"+run, minute, map[string]any{
		"experimentName": monitor, "runId": run, "runStatus": "Completed", "runProperties": map[string]any{},
		"runTags": map[string]any{"azureml_modelmonitor_threshold_breached": "The signal '" + monitor + "_data_drift' has failed due to one or more features violating metric thresholds.\n" +
			"The feature names and their corresponding computed metric values violating the threshold are \n" +
			`['{"group":"age","metric_value":0.35,"metric_name":"PopulationStabilityIndex","threshold_value":0.2}']`},
	})
}

// runEvent is a job's status.
func runEvent(id, run, status string, minute int, tags map[string]any) event.Envelope {
	return envelope("RunStatusChanged", id, "experiments/x/runs/"+run, minute, map[string]any{
		"experimentName": "train", "runId": run, "runStatus": status, "runTags": tags, "runProperties": map[string]any{},
	})
}

// champion is an Enricher that knows the metrics of everything.
type champion struct{}

// Wants implements worker.Enricher.
func (champion) Wants(*event.Event) bool { return true }

// Enrich implements worker.Enricher.
func (champion) Enrich(context.Context, *event.Event, worker.Champion) (metrics, championMetrics map[string]float64, err error) {
	return map[string]float64{"accuracy": 0.91}, map[string]float64{"accuracy": 0.88}, nil
}
