package policy

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Efficacy is whether a retrain helped.
type Efficacy string

// Efficacies. A retrain is effective when the first window that was measured
// with its version in service did not breach, and ineffective when that window
// breached. It is unknown when that can't be told: the run failed, nothing was
// deployed by the time of the next window, or no monitor measures. "" is not
// decided yet.
const (
	Effective       Efficacy = "effective"
	Ineffective     Efficacy = "ineffective"
	UnknownEfficacy Efficacy = "unknown"
)

// Loop is what became of a retrain: run started, run ended, model version
// registered, compared with the version in production, deployed, measured. It
// follows from the lineage alone, so neither the order nor the number of the
// events that told of it matters; see [Loop.With].
type Loop struct {
	// Started is when the target took the retrain on, by the service's clock.
	Started time.Time `json:"started,omitzero"`
	// Job is the run's asset id, Status how it ended and Ended when, by its
	// event.
	Job    string    `json:"job,omitempty"`
	Status string    `json:"status,omitempty"`
	Ended  time.Time `json:"ended,omitzero"`
	// Version is the asset id of the model version that came of it; of
	// several, the one registered first.
	Version    string    `json:"version,omitempty"`
	Registered time.Time `json:"registered,omitzero"`
	// Comparison sets the version beside the one in production; nil is not
	// compared.
	Comparison *Comparison `json:"comparison,omitempty"`
	// Deployment is the asset id of where the version went into service first.
	Deployment string    `json:"deployment,omitempty"`
	Deployed   time.Time `json:"deployed,omitzero"`
	// Window is the one that decides: the first that was measured after
	// Deployed or, while no deployment was seen, after Ended.
	Window *LoopWindow `json:"window,omitempty"`
	// Verdict says whether it helped, Why in one sentence how that is known or
	// what is waited for.
	Verdict Efficacy `json:"verdict,omitempty"`
	Why     string   `json:"why,omitempty"`
}

// LoopWindow is one measured window of the monitor whose breach asked for the
// retrain.
type LoopWindow struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
	// Breached is whether the signal that asked for the retrain breached in it.
	Breached bool `json:"breached"`
}

// Comparison holds the metrics that a new version and the one in production
// have in common, by name, at most 20.
type Comparison struct {
	// At is the time of the event that they came with.
	At      time.Time        `json:"at"`
	Metrics []ComparedMetric `json:"metrics"`
}

// ComparedMetric is one metric of the new version and of the champion, the
// version in production.
type ComparedMetric struct {
	Name     string  `json:"name"`
	New      float64 `json:"new"`
	Champion float64 `json:"champion"`
}

// Evidence is what the lineage knows of a retrain at one time.
type Evidence struct {
	// Job, Status and Ended are of the run, as in Loop.
	Job, Status string
	Ended       time.Time
	// Versions are the model versions that the job produced, in any order.
	Versions []VersionEvidence
	// Windows are those measured, in any order; the window that asked for the
	// retrain is not among them.
	Windows []LoopWindow
	// Unmeasured is set where no monitor asked for the retrain, so that no
	// window will tell.
	Unmeasured bool
	Comparison *Comparison
}

// VersionEvidence is one model version and where it went into service first.
type VersionEvidence struct {
	ID         string
	Registered time.Time
	Deployment string
	Deployed   time.Time
}

// With adds what the lineage knows. Evidence only grows, and whatever steps it
// grew in, and however often it is added, the loop ends the same. The lineage
// forgets old windows; the one that decided is kept here.
func (l Loop) With(e Evidence) Loop {
	l.Job = cmp.Or(e.Job, l.Job)
	if !e.Ended.IsZero() {
		l.Status, l.Ended = e.Status, e.Ended
	}
	for _, v := range append(e.Versions, l.version()) {
		if v.ID != "" && (l.Version == "" || v.before(l.version())) {
			l.Version, l.Registered, l.Deployment, l.Deployed = v.ID, v.Registered, v.Deployment, v.Deployed
		}
	}
	if c := e.Comparison; c != nil && (l.Comparison == nil || c.At.After(l.Comparison.At)) {
		l.Comparison = c
	}
	l.Window = l.deciding(e.Windows)
	l.Verdict, l.Why = l.judge(e.Unmeasured)
	return l
}

// Equal reports whether two loops say the same.
func (l Loop) Equal(o Loop) bool { return reflect.DeepEqual(l, o) }

// JudgedAt is the time of the window that decided, else that of the run's end.
func (l *Loop) JudgedAt() time.Time {
	if l.Window != nil {
		return l.Window.At
	}
	return l.Ended
}

func (l *Loop) version() VersionEvidence {
	return VersionEvidence{ID: l.Version, Registered: l.Registered, Deployment: l.Deployment, Deployed: l.Deployed}
}

// before orders versions by registration, then id. Of one version, what knows
// of the earlier deployment comes first.
func (v VersionEvidence) before(o VersionEvidence) bool {
	if v.ID != o.ID {
		return cmp.Or(v.Registered.Compare(o.Registered), strings.Compare(v.ID, o.ID)) < 0
	}
	if v.Registered != o.Registered && !v.Registered.IsZero() {
		return true
	}
	if v.Deployed.IsZero() {
		return false
	}
	return o.Deployed.IsZero() || cmp.Or(v.Deployed.Compare(o.Deployed), strings.Compare(v.Deployment, o.Deployment)) < 0
}

// over says whether the run is known to have come to its end: a version in
// service says so, too.
func (l *Loop) over() bool { return !l.Ended.IsZero() || !l.Deployed.IsZero() }

// deciding finds the window that decides among those known and the one that
// decided before.
func (l *Loop) deciding(windows []LoopWindow) *LoopWindow {
	if !l.over() {
		return nil
	}
	since := l.Deployed
	if since.IsZero() {
		since = l.Ended
	}
	var first *LoopWindow
	consider := func(w LoopWindow) {
		if !w.At.After(since) {
			return
		}
		if first == nil || cmp.Or(w.At.Compare(first.At), strings.Compare(w.ID, first.ID)) < 0 {
			first = &w
		}
	}
	kept := l.Window
	for _, w := range windows {
		if kept != nil && kept.ID == w.ID {
			kept = nil
		}
		consider(w)
	}
	if kept != nil {
		consider(*kept)
	}
	return first
}

func (l *Loop) judge(unmeasured bool) (Efficacy, string) {
	deployed := !l.Deployed.IsZero()
	switch {
	case !l.over():
		return "", "the run has not ended"
	case !deployed && !succeeded(l.Status):
		return UnknownEfficacy, "the run ended as " + l.Status
	case unmeasured:
		return UnknownEfficacy, "no monitor asked for this retrain, so no window tells whether it helped"
	case l.Window == nil && deployed:
		return "", l.versionText() + " deployed, no window was measured since"
	case l.Window == nil:
		return "", "the run ended, neither a deployment nor a window was seen since"
	case !deployed:
		return UnknownEfficacy, l.versionText() + " not deployed by the next window, which " + l.Window.text()
	case l.Window.Breached:
		return Ineffective, l.versionText() + " deployed, the next window " + l.Window.text()
	}
	return Effective, l.versionText() + " deployed, the next window " + l.Window.text()
}

func (l *Loop) versionText() string {
	if l.Version == "" {
		return "no version registered and"
	}
	return "version " + clip(lineage.ID(l.Version).Version(), 80)
}

func (w *LoopWindow) text() string {
	if w.Breached {
		return "still breached"
	}
	return "passed"
}

func succeeded(status string) bool {
	return strings.EqualFold(status, "completed") || strings.EqualFold(status, "finished")
}

// Compare joins the metrics of a new version with those of the champion; nil
// when they have none in common.
func Compare(at time.Time, run, champion map[string]float64) *Comparison {
	c := Comparison{At: at}
	for _, name := range slices.Sorted(maps.Keys(run)) {
		other, both := champion[name]
		if both && len(c.Metrics) < maxCompared {
			c.Metrics = append(c.Metrics, ComparedMetric{Name: clip(name, 128), New: run[name], Champion: other})
		}
	}
	if len(c.Metrics) == 0 {
		return nil
	}
	return &c
}

const maxCompared = 20

// Text writes the comparison for people: "accuracy 0.91 (champion 0.88)".
func (c *Comparison) Text() string {
	if c == nil {
		return "not compared"
	}
	parts := make([]string, len(c.Metrics))
	for i, m := range c.Metrics {
		parts[i] = fmt.Sprintf("%s %s (champion %s)", m.Name, figure(m.New), figure(m.Champion))
	}
	return strings.Join(parts, ", ")
}
