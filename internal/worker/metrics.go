package worker

import (
	"errors"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// metrics of the pipeline. Labels that come from events (workspace, model)
// are bounded: what goes beyond is counted as "other".
type metrics struct {
	lag         prometheus.Histogram
	processing  prometheus.Histogram
	decisions   *prometheus.CounterVec
	actions     *prometheus.CounterVec
	inFlight    *prometheus.GaugeVec
	breach      *prometheus.GaugeVec
	conflicts   prometheus.Counter
	retries     prometheus.Counter
	quarantines *prometheus.CounterVec
	processed   *prometheus.CounterVec
	recovery    prometheus.Histogram
	outcomes    *prometheus.CounterVec
	enrichments *prometheus.CounterVec

	breaches boundedLabels
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "modelwarden_commit_lag_seconds",
			Help: "Time from an event's own time to its commit.", Buckets: []float64{.1, .5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86400}}),
		processing: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "modelwarden_processing_seconds",
			Help: "Time from the acceptance of an event until lineage, decisions and lists of it are durable; effects may still be under way.", Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_decisions_total",
			Help: "Decisions by policy, verdict and reason."}, []string{"policy", "verdict", "reason"}),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_actions_total",
			Help: "Outcomes of actions: started, succeeded, failed, suppressed, retry, waiting."}, []string{"type", "target", "outcome"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "modelwarden_actions_in_flight",
			Help: "Effector calls under way."}, []string{"type"}),
		breach: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "modelwarden_breach_value",
			Help: "Latest value of a metric that violated its threshold, the worst feature of the signal."}, []string{"workspace", "model", "signal", "metric"}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{Name: "modelwarden_store_conflicts_total",
			Help: "Commits that were repeated because somebody else changed the asset."}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "modelwarden_event_retries_total",
			Help: "Messages that were given back to the queue after a fault."}),
		quarantines: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_quarantined_total",
			Help: "Messages that could not be understood, by reason."}, []string{"reason"}),
		processed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_events_processed_total",
			Help: "Events by kind that a worker read, repeats included."}, []string{"kind"}),
		recovery: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "modelwarden_retrain_recovery_seconds",
			Help: "Time from a breach that was answered by a retrain to the monitor's next pass.", Buckets: []float64{60, 600, 3600, 4 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400, 30 * 86400}}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_retrain_outcomes_total",
			Help: "Retrains by policy and whether they helped: effective, ineffective, unknown. One whose verdict later news revises is counted again under the new one."}, []string{"policy", "verdict"}),
		enrichments: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_enrichments_total",
			Help: "Tries to enrich an event by what came of them: done, retry, failed (given up)."}, []string{"outcome"}),
		breaches: boundedLabels{limit: 1000, seen: map[string]bool{}},
	}
	for _, k := range append(event.Kinds(), event.Unknown) {
		m.processed.WithLabelValues(string(k))
	}
	for _, outcome := range []string{"done", "retry", "failed"} {
		m.enrichments.WithLabelValues(outcome)
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.lag, m.processing, m.decisions, m.actions, m.inFlight, m.breach, m.conflicts, m.retries, m.quarantines, m.processed, m.recovery, m.outcomes, m.enrichments} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

// event counts an event that was read, and shows the breaches it reports.
func (m *metrics) event(ev *event.Event, now time.Time) {
	m.processed.WithLabelValues(string(ev.Kind)).Inc()
	if !ev.Synthetic { // history is late by nature
		m.lag.Observe(math.Max(0, now.Sub(ev.Time).Seconds()))
	}
	model := string(lineage.ModelOf(ev))
	if id, err := lineage.ParseID(model); err == nil {
		model = id.Name()
	}
	worst := map[string]event.Breach{}
	for _, b := range ev.Breaches {
		if b.Value == nil {
			continue
		}
		k := b.Signal + "\x00" + b.Metric
		if old, ok := worst[k]; !ok || exceeded(b) > exceeded(old) {
			worst[k] = b
		}
	}
	for _, b := range worst {
		labels := []string{ev.Workspace.Alias, model, b.Signal, b.Metric}
		if !m.breaches.admit(labels) {
			labels = []string{"other", "other", "other", "other"}
		}
		m.breach.WithLabelValues(labels...).Set(*b.Value)
	}
}

func exceeded(b event.Breach) float64 {
	if b.Exceeded == nil {
		return 0
	}
	return *b.Exceeded
}

func (m *metrics) decided(ds []policy.Decision) {
	for _, d := range ds {
		m.decisions.WithLabelValues(d.Policy, string(d.Verdict), d.Reason).Inc()
	}
}

func (m *metrics) action(a policy.Action, outcome string) {
	m.actions.WithLabelValues(string(a.Type), a.Target, outcome).Inc()
}

func (m *metrics) quarantined(reason string) { m.quarantines.WithLabelValues(reason).Inc() }

func (m *metrics) batch(b *batch, ended time.Time) {
	for _, j := range b.jobs {
		if j.failure() == nil && len(j.items) > 0 && !b.later {
			m.processing.Observe(math.Max(0, ended.Sub(j.received()).Seconds()))
		}
	}
}

// boundedLabels admits a limited number of label combinations.
type boundedLabels struct {
	mu    sync.Mutex
	limit int
	seen  map[string]bool
}

func (l *boundedLabels) admit(labels []string) bool {
	key := ""
	for _, s := range labels {
		key += s + "\x00"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[key] {
		return true
	}
	if len(l.seen) >= l.limit {
		return false
	}
	l.seen[key] = true
	return true
}
