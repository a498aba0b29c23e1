package azureml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Desk is where findings become reviews; *review.Desk is it.
type Desk interface {
	Raise(ctx context.Context, s review.Signal) (r review.Review, created bool, err error)
	Pass(ctx context.Context, cause string, p review.Passing) (r review.Review, resolved bool, err error)
}

// DeadManOptions configure a DeadMan. Desk and Store are required.
type DeadManOptions struct {
	Desk  Desk
	Store lineage.Store
	// Source, if set, tells whether a monitor's newest run logged any metric.
	Source Source
	// Grace is what a monitor may take beyond two of its intervals. Defaults
	// to 2 h.
	Grace time.Duration
	// Interval is that of a monitor whose trigger does not say. Defaults to
	// 24 h, as most monitors run once a day.
	Interval time.Duration
	// Now defaults to time.Now.
	Now func() time.Time
}

// DeadMan is a dead-man switch for model monitors: that no breach is reported
// means little where nothing measures. A monitor that has not run for two of
// its intervals and a grace, or that runs and measures nothing, gets a review;
// it is resolved when the monitor measures again.
type DeadMan struct{ o DeadManOptions }

// NewDeadMan makes a DeadMan. It does nothing by itself: see Check.
func NewDeadMan(o DeadManOptions) (*DeadMan, error) {
	if o.Desk == nil || o.Store == nil {
		return nil, errors.New("dead-man switch: Desk and Store are required")
	}
	orElse(&o.Grace, 2*time.Hour)
	orElse(&o.Interval, 24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &DeadMan{o}, nil
}

// watchState is what is remembered of a monitor from one check to the next.
type watchState struct {
	// Since is when the monitor was seen first, or first enabled again: before
	// it has run, its window begins there.
	Since time.Time `json:"since"`
	// Off says that it was disabled when it was looked at last.
	Off bool `json:"off,omitempty"`
	// Raised says that a review may be open.
	Raised bool `json:"raised,omitempty"`
	// Logged says that a run of the monitor had metrics; Run is the last one
	// that was looked at, and Empty that it had none.
	Logged bool   `json:"logged,omitempty"`
	Run    string `json:"run,omitempty"`
	Empty  bool   `json:"empty,omitempty"`
}

// Check looks at one monitor and raises or resolves its review. The caller
// holds the workspace's lease. Checking again is idempotent: a window that was
// missed is one signal. opened says that a review was opened.
func (d *DeadMan) Check(ctx context.Context, ws event.Workspace, m Monitor) (opened bool, err error) {
	id := lineage.NewID(lineage.Monitor, ws.Alias, m.Name)
	doc, err := lineage.Load(ctx, d.o.Store, id)
	if err != nil {
		return false, err
	}
	state, was, err := d.load(ctx, ws, m)
	if err != nil {
		return false, err
	}
	now := d.o.Now().UTC()
	if m.Enabled && state.Off {
		state.Since = now
	}
	state.Off = !m.Enabled
	run, at := newestWindow(doc)
	d.look(ctx, ws, &state, run)
	f := finding{monitor: m, id: id, now: now, window: 2*d.interval(m) + d.o.Grace, last: at, state: state, model: watchedModel(m, id, doc)}
	signal, wrong := f.signal()
	if wrong {
		_, opened, err = d.o.Desk.Raise(ctx, signal)
	} else if state.Raised {
		_, _, err = d.o.Desk.Pass(ctx, signal.Cause, review.Passing{At: now, Text: f.recovery()})
	}
	if err != nil {
		return opened, fmt.Errorf("review of %s: %w", id, err)
	}
	state.Raised = wrong
	return opened, d.store(ctx, ws, m, state, was)
}

func (d *DeadMan) interval(m Monitor) time.Duration {
	if m.Every > 0 {
		return m.Every
	}
	if gap, ok := cronGap(m.Cron, d.o.Now()); ok {
		return gap
	}
	return d.o.Interval
}

// newestWindow is the time of a monitor's newest window and the run of the
// whole monitor that measured it.
func newestWindow(doc *lineage.Asset) (run string, at time.Time) {
	if doc == nil || len(doc.Sets["measured"]) == 0 {
		return "", time.Time{}
	}
	newest := doc.Sets["measured"][len(doc.Sets["measured"])-1]
	var m lineage.Measured
	if json.Unmarshal(newest.V, &m) != nil {
		return "", newest.S.At
	}
	return m.Window, newest.S.At
}

// watchedModel is the model that a monitor watches: as its definition says,
// else as its runs did.
func watchedModel(m Monitor, id lineage.ID, doc *lineage.Asset) string {
	if m.Model.Name != "" {
		return string(lineage.NewID(lineage.Model, id.Workspace(), m.Model.Name))
	}
	if doc != nil {
		for _, e := range doc.Edges {
			if e.Type == lineage.Watches && e.Out {
				return string(e.Other)
			}
		}
	}
	return ""
}

// look asks for the metrics of a run that was not looked at before. Where it
// gets no answer it asks again the next time: that a monitor runs is seen
// without.
func (d *DeadMan) look(ctx context.Context, ws event.Workspace, s *watchState, run string) {
	if d.o.Source == nil || run == "" || run == s.Run {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := d.o.Source.Run(ctx, ws, run)
	switch {
	case errors.Is(err, lineage.ErrNotFound):
		s.Run, s.Empty = run, false
	case err == nil:
		s.Run, s.Empty = run, len(r.Metrics) == 0
		s.Logged = s.Logged || !s.Empty
	}
}

func (d *DeadMan) load(ctx context.Context, ws event.Workspace, m Monitor) (state, was watchState, err error) {
	got, err := d.o.Store.Get(ctx, lineage.WorkPartition(ws.Alias), watchRecord(m))
	if err != nil {
		return state, was, err
	}
	if got[0].Version == "" {
		return watchState{Since: d.o.Now().UTC()}, watchState{}, nil
	}
	if err := json.Unmarshal(got[0].Body, &state); err != nil {
		return state, was, fmt.Errorf("stored state of monitor %s: %w", m.Name, err)
	}
	return state, state, nil
}

func (d *DeadMan) store(ctx context.Context, ws event.Workspace, m Monitor, state, was watchState) error {
	if state == was {
		return nil
	}
	body, err := json.Marshal(state)
	if err != nil {
		return err
	}
	c := lineage.Change{Op: lineage.Upsert, Record: lineage.Record{ID: watchRecord(m), Body: body}}
	_, err = d.o.Store.Commit(ctx, lineage.WorkPartition(ws.Alias), []lineage.Change{c})
	return err
}

const watchPrefix = "monitor/"

func watchRecord(m Monitor) string { return watchPrefix + m.Name }

// silenceOf is the cause of a monitor's reviews.
func silenceOf(id lineage.ID) string { return "monitor-silent:" + string(id) }

// Forget resolves the reviews of monitors that somebody deleted. The caller
// holds the workspace's lease.
func (d *DeadMan) Forget(ctx context.Context, ws event.Workspace) error {
	if d.o.Source == nil {
		return nil
	}
	q := lineage.Query{Partition: lineage.WorkPartition(ws.Alias), Prefix: watchPrefix, Limit: 1000}
	for {
		page, err := d.o.Store.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if err := d.forget(ctx, ws, r); err != nil {
				return err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

func (d *DeadMan) forget(ctx context.Context, ws event.Workspace, r lineage.Record) error {
	var s watchState
	name := strings.TrimPrefix(r.ID, watchPrefix)
	if err := json.Unmarshal(r.Body, &s); err != nil {
		return fmt.Errorf("stored state of monitor %s: %w", name, err)
	}
	if !s.Raised {
		return nil
	}
	one, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := d.o.Source.Monitor(one, ws, name); !errors.Is(err, lineage.ErrNotFound) {
		return err
	}
	cause := silenceOf(lineage.NewID(lineage.Monitor, ws.Alias, name))
	if _, _, err := d.o.Desk.Pass(ctx, cause, review.Passing{At: d.o.Now().UTC(), Text: "the monitor was deleted"}); err != nil {
		return err
	}
	_, err := d.o.Store.Commit(ctx, lineage.WorkPartition(ws.Alias), []lineage.Change{{Op: lineage.Delete, Record: lineage.Record{ID: r.ID, Version: r.Version}}})
	return err
}

// finding is one look at one monitor. Its methods are pure.
type finding struct {
	monitor Monitor
	id      lineage.ID
	now     time.Time
	// window is how long the monitor may be silent, last when it measured
	// last; zero when it never did.
	window time.Duration
	last   time.Time
	model  string
	state  watchState
}

// signal is what is wrong; ok is false when nothing is, and then only the
// signal's cause means something.
func (f *finding) signal() (s review.Signal, ok bool) {
	s = review.Signal{
		Cause: silenceOf(f.id), Severity: review.Warning,
		Asset: string(f.id), Model: f.model, Workspace: f.id.Workspace(),
	}
	if !f.monitor.Enabled {
		return s, false
	}
	if f.silent(&s) || f.empty(&s) || f.blind(&s) {
		s.Key = event.Digest(s.Cause, s.Window)
		return s, true
	}
	return s, false
}

// silent says that the monitor did not run. Every window that passes is a
// signal of its own.
func (f *finding) silent(s *review.Signal) bool {
	base := f.last
	if f.state.Since.After(base) {
		base = f.state.Since
	}
	missed := int64(f.now.Sub(base) / f.window)
	if missed < 1 {
		return false
	}
	s.At = base.Add(time.Duration(missed) * f.window)
	s.Window = fmt.Sprintf("silent since %s, window %d", base.UTC().Format(time.RFC3339), missed)
	s.Title = "Monitor " + f.monitor.Name + " is silent"
	s.Reason = fmt.Sprintf("it has measured nothing since %s; its schedule allows %s between two windows",
		base.UTC().Format(time.RFC3339), f.window)
	if f.last.IsZero() {
		s.Reason = fmt.Sprintf("it has never measured anything, and was first seen on %s; its schedule allows %s between two windows",
			base.UTC().Format(time.RFC3339), f.window)
	}
	return true
}

// empty says that a monitor which used to log metrics ran and logged none: the
// last of its runs of which that is known.
func (f *finding) empty(s *review.Signal) bool {
	if !f.state.Empty || !f.state.Logged {
		return false
	}
	s.At, s.Window = f.last, "empty run "+f.state.Run
	s.Title = "Monitor " + f.monitor.Name + " ran and measured nothing"
	s.Reason = "its run " + f.state.Run + " logged no metric, as earlier ones did: a pass of it means nothing"
	return true
}

// blind says that the monitor has signals which can't breach, since no metric
// of theirs has a threshold.
func (f *finding) blind(s *review.Signal) bool {
	var names []string
	for _, signal := range f.monitor.Signals {
		bound := len(signal.Thresholds) == 0 // of other kinds than we can read
		for _, t := range signal.Thresholds {
			bound = bound || t.Value != nil
		}
		if !bound {
			names = append(names, signal.Name)
		}
	}
	if len(names) == 0 {
		return false
	}
	s.At, s.Window = f.state.Since, "no threshold: "+strings.Join(names, ", ")
	s.Title = "Monitor " + f.monitor.Name + " can't breach"
	s.Reason = "no metric of its signal " + strings.Join(names, ", ") + " has a threshold: whatever it measures passes"
	return true
}

// recovery is why a review is resolved.
func (f *finding) recovery() string {
	if !f.monitor.Enabled {
		return "the monitor was disabled"
	}
	return "the monitor measures again: the last time at " + f.last.UTC().Format(time.RFC3339)
}
