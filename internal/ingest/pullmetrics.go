package ingest

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// pullMetrics are the children for one event subscription. Pulled events count
// with all others, under the source "pull".
type pullMetrics struct {
	arrivals
	pages, empty, failed                    prometheus.Counter
	acknowledged, released, lost, unsettled prometheus.Counter
}

func newPullMetrics(r prometheus.Registerer, subscription string) (*pullMetrics, error) {
	received, lag := newReceived(), newLag()
	pulls := counters("ingest_pulls_total",
		"Times that events were asked for, by event subscription and how it ended (events, empty, failed).",
		"subscription", "outcome")
	settled := counters("ingest_pull_settlements_total",
		"Pulled events by what became of their locks (acknowledged, released, lost, failed).",
		"subscription", "result")
	if r != nil {
		if err := errors.Join(adopt(r, &received), adopt(r, &lag), adopt(r, &pulls), adopt(r, &settled)); err != nil {
			return nil, err
		}
	}
	return &pullMetrics{
		arrivals:     newArrivals(received, lag, sourcePull),
		pages:        pulls.WithLabelValues(subscription, "events"),
		empty:        pulls.WithLabelValues(subscription, "empty"),
		failed:       pulls.WithLabelValues(subscription, "failed"),
		acknowledged: settled.WithLabelValues(subscription, "acknowledged"),
		released:     settled.WithLabelValues(subscription, "released"),
		lost:         settled.WithLabelValues(subscription, "lost"),
		unsettled:    settled.WithLabelValues(subscription, "failed"),
	}, nil
}
