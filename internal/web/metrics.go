package web

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are this package's own. Labels are bounded: routes are patterns,
// not paths.
type metrics struct {
	seconds   *prometheus.HistogramVec
	callbacks *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "modelwarden_http_request_seconds",
		Help:    "Time to answer a request of the API or of a page, by route and status code.",
		Buckets: []float64{.001, .005, .02, .1, .5, 2, 10},
	}, []string{"route", "code"})}
	m.callbacks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "modelwarden_callbacks_total",
		Help: "Requests of tools to a target's callback, by target (unknown for what is none) and result: heard, forged, refused, unknown, unreadable, failed, busy.",
	}, []string{"target", "result"})
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.seconds), r.Register(m.callbacks))
}

// observe serves a routed request and times it.
func (m *metrics) observe(w http.ResponseWriter, r *http.Request, next http.Handler) {
	start := time.Now()
	c := &codeWriter{ResponseWriter: w, code: http.StatusOK}
	next.ServeHTTP(c, r)
	m.seconds.WithLabelValues(r.Pattern, strconv.Itoa(c.code)).Observe(time.Since(start).Seconds())
}

// codeWriter remembers the status code.
type codeWriter struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (c *codeWriter) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (c *codeWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
