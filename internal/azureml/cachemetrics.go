package azureml

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// cacheMetrics say how much is asked and how much of it is known.
type cacheMetrics struct {
	lookups, requests *prometheus.CounterVec
	seconds           *prometheus.HistogramVec
}

func newCacheMetrics(r prometheus.Registerer) (*cacheMetrics, error) {
	m := &cacheMetrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_azureml_lookups_total",
			Help: "What was asked of the cache of Azure Machine Learning, by kind of thing and result (hit, miss)."}, []string{"kind", "result"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_azureml_requests_total",
			Help: "What came of the misses, by kind of thing and outcome (answered, not_found, refused, throttled, failed, withheld by budget or breaker). Several misses share a request."}, []string{"kind", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "modelwarden_azureml_request_seconds",
			Help: "How long Azure Machine Learning took to answer, by kind of thing.", Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 15}}, []string{"kind"}),
	}
	for _, kind := range []string{"job", "model", "run", "endpoint", "monitor"} {
		for _, result := range []string{"hit", "miss"} {
			m.lookups.WithLabelValues(kind, result)
		}
		for _, outcome := range []string{"answered", "not_found", "refused", "throttled", "failed", "withheld"} {
			m.requests.WithLabelValues(kind, outcome)
		}
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.lookups), r.Register(m.requests), r.Register(m.seconds))
}

func (m *cacheMetrics) asked(kind string, took time.Duration, err error) {
	m.seconds.WithLabelValues(kind).Observe(took.Seconds())
	var permanent *policy.PermanentError
	var later *policy.RetryAfterError
	outcome := "failed"
	switch {
	case err == nil:
		outcome = "answered"
	case errors.Is(err, lineage.ErrNotFound):
		outcome = "not_found"
	case errors.As(err, &permanent):
		outcome = "refused"
	case errors.As(err, &later):
		outcome = "throttled"
	}
	m.requests.WithLabelValues(kind, outcome).Inc()
}
