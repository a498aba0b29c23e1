package oncall

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// metric is what a series is of, within one monitor.
type metric struct{ signal, feature, name string }

func metricOf(b *event.Breach) metric { return metric{b.Signal, b.Feature, b.Metric} }

// measured reads the metrics behind the review from the monitors that it
// speaks of.
func (b *builder) measured(ctx context.Context) {
	n := 0
	for _, a := range b.r.Assets {
		id := lineage.ID(a)
		if id.Kind() != lineage.Monitor {
			continue
		}
		if n++; n > maxMonitors {
			continue
		}
		if doc := b.asset(ctx, id); doc != nil {
			b.monitors = append(b.monitors, doc)
			b.series(doc)
		}
	}
	if n > maxMonitors {
		b.gap("only %d of the %d monitors were looked at", maxMonitors, n)
	}
}

// series draws the metrics that breached in the review's windows, those that a
// policy named first, then the worst.
func (b *builder) series(monitor *lineage.Asset) {
	log := readLog(monitor)
	found := log.breachedIn(b.windows())
	named := b.named()
	slices.SortStableFunc(found, func(x, y metric) int {
		return cmp.Or(-cmp.Compare(named[x], named[y]), -cmp.Compare(log.worst[x], log.worst[y]))
	})
	for i, m := range found {
		if len(b.card.Measured) >= review.MaxCard {
			b.gap("%d more metrics of %s breached", len(found)-i, monitor.ID)
			return
		}
		b.card.Measured = append(b.card.Measured, log.series(m))
	}
}

// windows are those that the review's signals are about.
func (b *builder) windows() map[string]bool {
	out := map[string]bool{}
	for _, n := range b.r.Signals {
		if n.Window != "" {
			out[n.Window] = true
		}
	}
	return out
}

// named counts how often the decisions' conditions held for a metric.
func (b *builder) named() map[metric]int {
	out := map[metric]int{}
	for _, d := range b.decisions {
		for i := range d.Breaches {
			out[metricOf(&d.Breaches[i])]++
		}
	}
	return out
}

// signal is the one that the decisions are about; "" is none or several.
func (b *builder) signal() string {
	one := ""
	for _, d := range b.decisions {
		if len(d.Actions) == 0 || d.Signal == one {
			continue
		}
		if one != "" {
			return ""
		}
		one = d.Signal
	}
	return one
}

// monitorLog is what is kept of a monitor's windows.
type monitorLog struct {
	monitor lineage.ID
	windows []lineage.Window
	// points are the breaches by metric and window; cut are the signals of a
	// window whose list of breaches is not whole.
	points map[metric]map[string]point
	cut    map[string]bool
	// worst is by how much the newest breach of a metric is beyond.
	worst map[metric]float64
}

type point struct {
	at     time.Time
	breach event.Breach
}

func readLog(monitor *lineage.Asset) *monitorLog {
	l := &monitorLog{
		monitor: monitor.ID, windows: lineage.WindowsOf(monitor),
		points: map[metric]map[string]point{}, cut: map[string]bool{}, worst: map[metric]float64{},
	}
	for _, member := range monitor.Sets["measured"] {
		var m lineage.Measured
		if json.Unmarshal(member.V, &m) != nil {
			continue
		}
		if m.More > 0 || m.Loss != nil {
			l.cut[m.Window+"/"+m.Signal] = true
		}
		for _, b := range m.Breaches {
			l.add(m.Window, point{member.S.At, b})
		}
	}
	return l
}

func (l *monitorLog) add(window string, p point) {
	m := metricOf(&p.breach)
	if l.points[m] == nil {
		l.points[m] = map[string]point{}
	}
	l.points[m][window] = p
	if p.breach.Exceeded != nil {
		l.worst[m] = *p.breach.Exceeded
	}
}

// breachedIn are the metrics that breached in some windows; where none is known
// of those, in the newest that breached. They are in the order of their names.
func (l *monitorLog) breachedIn(windows map[string]bool) []metric {
	var out []metric
	for m, points := range l.points {
		for w := range points {
			if windows[w] {
				out = append(out, m)
				break
			}
		}
	}
	if len(out) == 0 {
		for i := len(l.windows) - 1; i >= 0; i-- {
			if w := &l.windows[i]; w.Breach("") && !windows[w.ID] {
				return l.breachedIn(map[string]bool{w.ID: true})
			}
		}
	}
	slices.SortFunc(out, func(x, y metric) int {
		return cmp.Or(cmp.Compare(x.signal, y.signal), cmp.Compare(x.feature, y.feature), cmp.Compare(x.name, y.name))
	})
	return out
}

// series is one metric over all windows in which something is known of it.
func (l *monitorLog) series(m metric) review.Series {
	s := review.Series{Monitor: string(l.monitor), Signal: m.signal, Feature: m.feature, Metric: m.name}
	for i := range l.windows {
		w := &l.windows[i]
		p, breached := l.points[m][w.ID]
		switch {
		case breached:
			s.Points = append(s.Points, review.Point{At: p.at, Value: p.breach.Value, Breached: true})
			s.LowerIsBad = p.breach.Direction == event.LowerIsBad
			if p.breach.Threshold != nil {
				s.Threshold = p.breach.Threshold
			}
		case w.Passed(l.windows, m.signal):
			s.Points = append(s.Points, review.Point{At: w.Ended})
		case w.Breach(m.signal) && !l.cut[w.ID+"/"+m.signal]:
			// Another metric of the signal breached, this one did not.
			s.Points = append(s.Points, review.Point{At: w.At})
		}
	}
	slices.SortStableFunc(s.Points, func(x, y review.Point) int { return x.At.Compare(y.At) })
	s.Points = s.Points[max(0, len(s.Points)-review.MaxPoints):]
	return s
}
