package azureml

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// reconcileMetrics say what rounds came to. Workspaces are those of the
// configuration, so their label is bounded.
type reconcileMetrics struct {
	rounds, found *prometheus.CounterVec
}

func newReconcileMetrics(r prometheus.Registerer) (*reconcileMetrics, error) {
	m := &reconcileMetrics{
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_reconcile_rounds_total",
			Help: "Rounds of the reconciler, by workspace and result (complete, partial, busy, failed)."}, []string{"workspace", "result"}),
		found: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_reconcile_found_total",
			Help: "What no event had told (job, model, deployment), and monitors found silent (monitor)."}, []string{"kind"}),
	}
	for _, kind := range []string{"job", "model", "deployment", "monitor"} {
		m.found.WithLabelValues(kind)
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.rounds), r.Register(m.found))
}

func (m *reconcileMetrics) round(workspace string, r Round) {
	m.rounds.WithLabelValues(workspace, r.Result).Inc()
}
