package oncall

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// changes compares the lineage around the review with what it was when the
// cause was last absent: what is in service and where, how traffic is spread,
// and what went into the version that came into service.
func (b *builder) changes(ctx context.Context) {
	b.look(ctx)
	served := map[lineage.ID]time.Time{}
	for _, d := range b.around.deployments {
		b.deployment(ctx, b.asset(ctx, d), served)
	}
	for _, e := range b.around.endpoints {
		b.endpoint(b.asset(ctx, e))
	}
	for _, v := range b.around.versions {
		b.version(ctx, v, served[v])
	}
	b.failedJobs(ctx)
	for _, m := range b.monitors {
		b.thresholds(m)
	}
	b.sortChanges()
}

func (b *builder) isNew(at time.Time) bool { return at.After(b.since) }

func (b *builder) shift(at time.Time, kind string, asset lineage.ID, format string, args ...any) {
	b.card.Changed = append(b.card.Changed, review.Shift{At: at, Kind: kind, Asset: string(asset), What: fmt.Sprintf(format, args...)})
}

// sortChanges puts what came before the trouble first, in the order of time,
// and cuts the list.
func (b *builder) sortChanges() {
	late := func(s review.Shift) int {
		if s.At.After(b.r.Opened) {
			return 1
		}
		return 0
	}
	all := b.card.Changed
	slices.SortStableFunc(all, func(x, y review.Shift) int {
		return cmp.Or(cmp.Compare(late(x), late(y)), x.At.Compare(y.At), strings.Compare(x.Asset, y.Asset), strings.Compare(x.What, y.What))
	})
	all = slices.Compact(all)
	b.card.Changed = all[:min(len(all), review.MaxCard)]
	b.card.MoreChanged = len(all) - len(b.card.Changed)
	if len(all) == 0 && b.card.LastHealthy.IsZero() {
		b.gap("nothing that the lineage knows of changed since %s", b.since.UTC().Format("2006-01-02 15:04Z"))
	}
}

// deployment tells of a deployment that is new, or serves something else. It
// notes in served when a version came into service.
func (b *builder) deployment(ctx context.Context, d *lineage.Asset, served map[lineage.ID]time.Time) {
	if d == nil {
		return
	}
	b.alerts(d)
	history := d.ServedHistory()
	if len(history) > 0 && b.isNew(history[0].Since) && b.isNew(d.First.At) {
		b.shift(d.First.At, review.ShiftDeployment, d.ID, "new deployment, serves %s", names(history[0].Models))
	}
	var was []lineage.ID
	for i, s := range history {
		switch {
		case !b.isNew(s.Since):
		case i > 0 && slices.Equal(was, s.Models):
			b.shift(s.Since, review.ShiftDeployment, d.ID, "deployed again, still serves %s", names(s.Models))
		default:
			b.arrivals(ctx, d.ID, s, was, served)
		}
		was = s.Models
	}
}

// arrivals tells of the versions that a deployment began to serve.
func (b *builder) arrivals(ctx context.Context, d lineage.ID, s lineage.Served, was []lineage.ID, served map[lineage.ID]time.Time) {
	for _, m := range s.Models {
		if slices.Contains(was, m) || !slices.Contains(b.around.models, modelName(m)) && len(b.around.models) > 0 {
			continue
		}
		if first, known := served[m]; !known || s.Since.Before(first) {
			served[m] = s.Since
		}
		what := fmt.Sprintf("version %s in service at %s", m.Version(), place(d))
		i := slices.IndexFunc(was, func(o lineage.ID) bool { return modelName(o) == modelName(m) })
		switch {
		case i >= 0:
			what += fmt.Sprintf(" (was version %s)", was[i].Version())
		default:
			if before := b.before(ctx, m, s.Since); before != "" {
				what += fmt.Sprintf(" (version %s was in service before)", before.Version())
			}
		}
		b.shift(s.Since, review.ShiftModel, m, "%s", what)
	}
}

// place names a deployment as people do.
func place(d lineage.ID) string { return d.Name() + "/" + d.Version() }

// names lists model versions for people.
func names(models []lineage.ID) string {
	if len(models) == 0 {
		return "no model that is known"
	}
	out := make([]string, 0, 3)
	for _, m := range models[:min(len(models), 3)] {
		out = append(out, m.Name()+" version "+m.Version())
	}
	if len(models) > len(out) {
		out = append(out, fmt.Sprintf("%d more", len(models)-len(out)))
	}
	return strings.Join(out, ", ")
}

// endpoint tells of traffic that is spread otherwise than before.
func (b *builder) endpoint(e *lineage.Asset) {
	if e == nil {
		return
	}
	b.alerts(e)
	var was map[string]int
	history := e.RoutedHistory()
	for _, h := range history {
		if b.isNew(h.Since) && !maps.Equal(was, h.Traffic) {
			b.shift(h.Since, review.ShiftTraffic, e.ID, "traffic %s (%s)", shares(h.Traffic), spreadBefore(was))
		}
		was = h.Traffic
	}
	// What was spread before histories were kept is known by its last state.
	var now map[string]int
	f, known := e.Fields["traffic"]
	if known && len(history) == 0 && b.isNew(f.S.At) && json.Unmarshal(f.V, &now) == nil {
		b.shift(f.S.At, review.ShiftTraffic, e.ID, "traffic %s (%s)", shares(now), spreadBefore(nil))
	}
}

func spreadBefore(traffic map[string]int) string {
	if traffic == nil {
		return "what it was before is not known"
	}
	return "was " + shares(traffic)
}

// shares writes how traffic is spread: "blue 90 %, green 10 %".
func shares(traffic map[string]int) string {
	var out []string
	for _, d := range slices.Sorted(maps.Keys(traffic)) {
		if traffic[d] != 0 && len(out) < maxPlaces {
			out = append(out, fmt.Sprintf("%s %d %%", d, traffic[d]))
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// alerts tells of Azure Monitor's alerts that fired on an asset.
func (b *builder) alerts(a *lineage.Asset) {
	for name, f := range a.Fields {
		rule, ok := strings.CutPrefix(name, "alert:")
		var alert struct{ State, Severity string }
		if ok && b.isNew(f.S.At) && json.Unmarshal(f.V, &alert) == nil && alert.State == "fired" {
			b.shift(f.S.At, review.ShiftOther, a.ID, "alert %s fired (%s)", rule, cmp.Or(alert.Severity, "no severity"))
		}
	}
}

// thresholds tells of bounds that the monitor measures against anew.
func (b *builder) thresholds(m *lineage.Asset) {
	log := readLog(m)
	for _, met := range log.breachedIn(b.windows()) {
		var was *float64
		for i := range log.windows {
			p, ok := log.points[met][log.windows[i].ID]
			if !ok || p.breach.Threshold == nil {
				continue
			}
			if was != nil && *was != *p.breach.Threshold && b.isNew(p.at) {
				b.shift(p.at, review.ShiftOther, m.ID, "threshold of %s %s is %.4g (was %.4g)", met.name, met.feature, *p.breach.Threshold, *was)
			}
			was = p.breach.Threshold
		}
	}
}
