package app

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// targetMetrics hears of the calls to targets; it is an effect.Observer.
type targetMetrics struct {
	seconds *prometheus.HistogramVec
	open    *prometheus.GaugeVec
}

func newTargetMetrics(r prometheus.Registerer) (*targetMetrics, error) {
	m := &targetMetrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "modelwarden_target_call_seconds",
			Help:    "Time of one call to a target, by result (ok, retryable, permanent).",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"target", "type", "result"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "modelwarden_target_breaker_open",
			Help: "Whether a target's circuit breaker refuses calls (1) or lets them through (0)."}, []string{"target"}),
	}
	return m, errors.Join(r.Register(m.seconds), r.Register(m.open))
}

// Called implements effect.Observer.
func (m *targetMetrics) Called(target string, action policy.ActionType, took time.Duration, err error) {
	result := "ok"
	var permanent *policy.PermanentError
	switch {
	case errors.As(err, &permanent):
		result = "permanent"
	case err != nil:
		result = "retryable"
	}
	m.seconds.WithLabelValues(target, string(action), result).Observe(took.Seconds())
}

// BreakerChanged implements effect.Observer.
func (m *targetMetrics) BreakerChanged(target, state string) {
	v := 0.0
	if state == "open" {
		v = 1
	}
	m.open.WithLabelValues(target).Set(v)
}
