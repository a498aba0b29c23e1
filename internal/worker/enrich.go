package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Enrichment must not hold up what an event says by itself. So an event is
// committed, with the decisions that need nothing else, as it came, and a
// message asks for the rest:
//
//	commit (entry: enrichment pending) → KindEnrich → ask → commit again
//
// The second commit adds, in the same partition and in one write, what Azure
// Machine Learning said (under the event's own stamp, marked as later), the
// decisions that waited for it, their intents, and the note on the entry that
// it is done. The message is sent before that of the event is settled, so a
// crash anywhere sends it again; it finds the entry done, or the work to do.
//
// An Azure Machine Learning that fails delays that message, over and over, up
// to EnrichFor; then the entry says what was not found out. Policies wait for
// it up to EnrichWait, then decide with what is there and say so.

// Enricher adds to an event what Azure Machine Learning knows and the event
// did not carry.
type Enricher interface {
	// Wants says whether there may be more to know about the event. It asks
	// nobody.
	Wants(ev *event.Event) bool
	// Enrich changes ev in place: a run's inputs, facts and metrics, a model
	// version's job, a monitor's definition, breaches that a cut tag lost. It
	// leaves alone what identifies the event. champion tells which version of
	// a model is in service, and its job as far as the lineage knows.
	//
	// It returns the metrics of the event's run and of the champion's, where
	// there are any. What can't be found out is no error; an error means that
	// asking again may help. It returns within the context's deadline.
	Enrich(ctx context.Context, ev *event.Event, champion Champion) (metrics, championMetrics map[string]float64, err error)
}

// Champion finds the version of a model that is in service, with its job where
// the lineage knows it; the zero Model is none.
type Champion = func(ctx context.Context, workspace, model string) (event.Model, error)

// nothing is the Enricher of an installation without Azure ML access.
type nothing struct{}

// Wants implements Enricher.
func (nothing) Wants(*event.Event) bool { return false }

// Enrich implements Enricher.
func (nothing) Enrich(context.Context, *event.Event, Champion) (metrics, championMetrics map[string]float64, err error) {
	return nil, nil, nil
}

// Bounds of enrichment.
const (
	// maxAsking bounds the batches of enrichments in work, askingAtOnce the
	// questions of one.
	maxAsking    = 4
	askingAtOnce = 16
	// The delay between tries begins with firstDelay and doubles.
	firstDelay = 5 * time.Second
	lastDelay  = 5 * time.Minute
	// busyDelay is for messages that find maxAsking batches in work.
	busyDelay = 2 * time.Second
)

// enriched is what became of asking about an event.
type enriched struct {
	attempt int
	// answered is true when the event carries the answer; else missing says
	// why it does not, and final that nobody will ask again.
	answered, final bool
	missing         string
	err             error

	metrics, champion map[string]float64
	// version is that of the entry, decided what was decided before.
	version string
	decided []policy.Decision
}

// enrichAside takes the enrichments out of a batch and works on them in the
// background, where they hold up nobody. When there are too many, they are put
// off.
func (w *Worker) enrichAside(ctx context.Context, deliveries []lineage.Delivery) (rest []lineage.Delivery) {
	var aside []lineage.Delivery
	for _, d := range deliveries {
		if d.Properties[lineage.PropKind] == lineage.KindEnrich {
			aside = append(aside, d)
		} else {
			rest = append(rest, d)
		}
	}
	if len(aside) == 0 {
		return rest
	}
	select {
	case w.asking <- struct{}{}:
		w.background.Go(func() {
			defer func() { <-w.asking }()
			w.process(ctx, aside)
		})
	default:
		w.putOff(ctx, aside)
	}
	return rest
}

// putOff sends enrichments again for later. A Retry would do the same, but
// count against the deliveries that a message has.
func (w *Worker) putOff(ctx context.Context, deliveries []lineage.Delivery) {
	b := &batch{later: true}
	messages := make([]lineage.Message, len(deliveries))
	for i, d := range deliveries {
		b.jobs = append(b.jobs, &job{delivery: d})
		messages[i] = enrichMessage(string(d.Body), attemptOf(d), d.Properties, w.o.Now().Add(busyDelay))
	}
	if err := w.o.Queue.Send(ctx, messages); err != nil {
		for _, j := range b.jobs {
			j.fail(err)
		}
	}
	w.settle(ctx, b.jobs)
}

// enrichMessage asks a worker to ask about an event, not before a time, with
// what of the event's own delivery still matters. A broker that drops repeats
// by id must not take one try for another.
func enrichMessage(logKey string, attempt int, delivery map[string]string, at time.Time) lineage.Message {
	m := lineage.Message{
		ID: fmt.Sprintf("enrich-%s-%d-%d", logKey, attempt, at.UnixMilli()), Body: []byte(logKey), NotBefore: at,
		Properties: map[string]string{lineage.PropKind: lineage.KindEnrich, lineage.PropAttempt: strconv.Itoa(attempt)},
	}
	for _, name := range []string{lineage.PropFenced, lineage.PropTraceParent} {
		if v := delivery[name]; v != "" {
			m.Properties[name] = v
		}
	}
	return m
}

func attemptOf(d lineage.Delivery) int {
	n, _ := strconv.Atoi(d.Properties[lineage.PropAttempt]) // none is the first
	return max(0, n)
}

// enrich asks about the events of a batch of enrichments.
func (w *Worker) enrich(ctx context.Context, b *batch) {
	found := make([]*item, len(b.jobs))
	var g errgroup.Group
	g.SetLimit(askingAtOnce)
	for i, j := range b.jobs {
		if j.enrich != "" {
			g.Go(func() (err error) {
				found[i], err = w.ask(ctx, b, j)
				return j.or(err)
			})
		}
	}
	_ = g.Wait()
	for i, it := range found {
		if it != nil {
			b.jobs[i].items = append(b.jobs[i].items, it)
			b.items = append(b.items, it)
		}
	}
}

// ask reads an event from the log and asks about it. Nil means that there is
// nothing to commit: it is over, or the next try is arranged.
func (w *Worker) ask(ctx context.Context, b *batch, j *job) (*item, error) {
	it, err := w.logged(ctx, j)
	if err != nil || it == nil {
		return nil, err
	}
	n := it.entry.Enrichment
	if n.State == lineage.EnrichmentFailed {
		it.later.final = true
		return it, nil // what it decided may be half done
	}
	w.question(ctx, it)
	l, now := it.later, w.o.Now().UTC()
	if l.answered {
		w.metrics.enrichments.WithLabelValues("done").Inc()
		return it, nil
	}
	l.final = !now.Before(it.entry.Committed.Add(w.o.EnrichFor))
	l.missing = fmt.Sprintf("Azure Machine Learning could not be asked within %v: decided without", now.Sub(it.entry.Committed).Round(time.Second))
	if l.final {
		w.metrics.enrichments.WithLabelValues("failed").Inc()
		w.o.Logger.Warn("gave up on enriching an event", it.logFields(zap.Error(l.err))...)
		return it, nil
	}
	w.metrics.enrichments.WithLabelValues("retry").Inc()
	w.o.Logger.Info("an event could not be enriched; it will be tried again", it.logFields(zap.Int("attempt", l.attempt), zap.Error(l.err))...)
	if n.Waiting && !now.Before(it.entry.Committed.Add(w.o.EnrichWait)) {
		return it, nil // the commit lets the policies decide, and askLater asks again
	}
	if err := w.o.Queue.Send(ctx, []lineage.Message{w.nextTry(it)}); err != nil || n.State == lineage.EnrichmentPending {
		return nil, err
	}
	return it, nil // it was done, but perhaps not what follows from it
}

// question asks about one event and notes the answer.
func (w *Worker) question(ctx context.Context, it *item) {
	call, cancel := context.WithTimeout(ctx, w.o.EnrichTimeout)
	defer cancel()
	l := it.later
	if l.metrics, l.champion, l.err = w.o.Enrich.Enrich(call, it.ev, w.championOf(it.ev)); l.err != nil {
		return
	}
	l.answered, it.ev.Enriched = true, true
	it.stamp, it.patches = lineage.StampOf(it.ev), lineage.Patches(it.ev)
	if p := lineage.CheckNames(it.home, it.patches); p != nil {
		it.patches, l.missing = nil, "what Azure Machine Learning said was left out: "+p.Detail
	}
}

// logged is the event that a message names, as it was committed; nil when it
// is not there or has nothing to ask.
func (w *Worker) logged(ctx context.Context, j *job) (*item, error) {
	key, home, ok := lineage.SplitLogKey(j.enrich)
	if !ok {
		return nil, nil
	}
	got, err := w.o.Store.Get(ctx, home, lineage.EventRecord(key))
	if err != nil || got[0].Version == "" {
		return nil, err
	}
	it := &item{job: j, key: key, home: home, later: &enriched{attempt: attemptOf(j.delivery)}}
	if err := json.Unmarshal(got[0].Body, &it.entry); err != nil {
		return nil, fmt.Errorf("stored event %s: %w", j.enrich, err)
	}
	if it.entry.Enrichment == nil {
		return nil, nil
	}
	it.canonical = it.entry.Event
	if it.entry.Chunks > 0 {
		if it.canonical, err = lineage.ReadBlob(ctx, w.o.Store, home, string(key), it.entry.Chunks); err != nil {
			return nil, err
		}
	}
	it.ev, err = w.reread(it.canonical)
	if err != nil {
		return nil, fmt.Errorf("stored event %s: %w", j.enrich, err)
	}
	return it, nil
}

func (w *Worker) reread(canonical []byte) (*event.Event, error) {
	parts, err := event.Split("", nil, canonical)
	switch {
	case err != nil:
		return nil, err
	case len(parts) != 1 || parts[0].Problem != nil:
		return nil, errors.New("it is not one event")
	}
	return w.o.Parser.Parse(parts[0].Envelope)
}

// championOf implements Champion over the lineage for one event: the version
// that was in service when the event happened. What the event itself made is
// no champion, even where it has taken over by the time it is looked at.
func (w *Worker) championOf(ev *event.Event) Champion {
	return func(ctx context.Context, workspace, model string) (event.Model, error) {
		version, err := w.servedAt(ctx, lineage.NewID(lineage.Model, workspace, model), ev.Time)
		if err != nil || version == "" || ev.Model != nil && ev.Model.Version == version {
			return event.Model{}, err
		}
		out := event.Model{Name: model, Version: version}
		doc, err := lineage.Load(ctx, w.o.Store, lineage.NewID(lineage.Model, workspace, model, version))
		if err != nil || doc == nil {
			return out, err
		}
		for _, e := range doc.Edges {
			if e.Type == lineage.Produced && !e.Out {
				out.Job = e.Other.Name()
			}
		}
		if ev.Run != nil && out.Job == ev.Run.ID {
			return event.Model{}, nil
		}
		return out, nil
	}
}

// servedAt is the version of a model that its newest deployment served at a
// time, else the version that is in service now; "" if there is none.
func (w *Worker) servedAt(ctx context.Context, model lineage.ID, at time.Time) (version string, err error) {
	name, err := lineage.Load(ctx, w.o.Store, model)
	if err != nil || name == nil || name.Text("serving") == "" {
		return "", err
	}
	deployment, err := lineage.Load(ctx, w.o.Store, lineage.ID(name.Text("servingAt")))
	if err != nil || deployment == nil {
		return name.Text("serving"), err
	}
	for _, served := range slices.Backward(deployment.ServedHistory()) {
		if served.Since.After(at) {
			continue
		}
		for _, m := range served.Models {
			if m.Name() == model.Name() {
				return m.Version(), nil
			}
		}
	}
	return name.Text("serving"), nil
}

// nextTry is the message for the next try: after what the service asked for,
// else twice as long as before, but in time for the policies that wait.
func (w *Worker) nextTry(it *item) lineage.Message {
	l, now := it.later, w.o.Now().UTC()
	delay := min(firstDelay<<min(l.attempt, 10), lastDelay)
	var asked *policy.RetryAfterError
	if errors.As(l.err, &asked) {
		delay = max(asked.After, time.Second)
	}
	at, deadline := now.Add(delay), it.entry.Committed.Add(w.o.EnrichWait)
	if it.entry.Enrichment.Waiting && now.Before(deadline) && at.After(deadline) {
		at = deadline
	}
	return enrichMessage(it.logKey(), l.attempt+1, it.job.delivery.Properties, at)
}

// askLater sends the messages that ask about the events of a batch, before
// anything of it is settled.
func (w *Worker) askLater(ctx context.Context, b *batch) {
	var messages []lineage.Message
	var of []*item
	for _, it := range b.items {
		n := it.entry.Enrichment
		if it.finished || it.job.failure() != nil || n == nil || n.State != lineage.EnrichmentPending {
			continue
		}
		m := enrichMessage(it.logKey(), 0, it.job.delivery.Properties, time.Time{})
		if l := it.later; l != nil && (l.answered || l.final) {
			continue
		} else if l != nil {
			m = w.nextTry(it)
		}
		messages, of = append(messages, m), append(of, it)
	}
	if len(messages) == 0 {
		return
	}
	if err := w.o.Queue.Send(ctx, messages); err != nil {
		for _, it := range of {
			it.fail(fmt.Errorf("ask for enrichment: %w", err))
		}
	}
}
