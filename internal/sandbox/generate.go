package sandbox

import (
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// Mix weighs the kinds of event that Generate makes.
type Mix struct {
	// RunStatus and RunCompleted are of training jobs.
	RunStatus, RunCompleted        int
	ModelRegistered, ModelDeployed int
	// Breach is a monitor's step with a breach tag, RunStatusChanged and
	// RunCompleted of one step in turn; Pass a monitor's clean root run;
	// Drift the legacy DatasetDriftDetected.
	Breach, Pass, Drift int
}

// DefaultMix is mostly jobs, some models and deployments, a few breaches.
func DefaultMix() Mix {
	return Mix{RunStatus: 50, RunCompleted: 34, ModelRegistered: 5, ModelDeployed: 4, Breach: 2, Pass: 4, Drift: 1}
}

// GenOptions configure Generate.
type GenOptions struct {
	Seed int64
	// Events is how many distinct events to make; duplicates come on top.
	Events int
	// Assets is how many models the events are about, each with jobs, an
	// endpoint and a monitor of its own. Defaults to 100.
	Assets int
	// Mix defaults to DefaultMix. A kind that the model's history does not
	// allow yet (a deployment before a version) becomes the step before it.
	Mix Mix
	// DuplicateRate is the share, 0 to 1, of events after which one of the
	// last 64 is repeated, byte for byte.
	DuplicateRate float64
	// Schema defaults to EventGrid, Casing to Camel.
	Schema Schema
	Casing Casing
	// Source is the workspace's ARM id. Defaults to that of a Workspace with
	// zero Options.
	Source string
	// Start is the time of the first event, Interval the mean distance to
	// the next. Default to 2026-11-02T09:00Z and 50 ms.
	Start    time.Time
	Interval time.Duration
}

// Generated is one event of Generate.
type Generated struct {
	// Body is one event as JSON, an object. It is valid until the next
	// event: copy what is to be kept.
	Body []byte
	ID   string
	Type string
	Time time.Time
	// Duplicate marks a repetition.
	Duplicate bool
}

// Generate yields a consistent history, the same one for the same options:
// times rise strictly, a job ends after it began, a model version follows its
// job and its deployment the version. So any order of delivery a test makes
// of them has one right lineage.
func Generate(o GenOptions) iter.Seq[Generated] {
	return func(yield func(Generated) bool) {
		g := newGenerator(o)
		for range o.Events {
			e := g.next()
			if !yield(e) {
				return
			}
			if g.opts.DuplicateRate > 0 && !g.repeat(e, yield) {
				return
			}
		}
	}
}

// recent is how many events back a duplicate may reach.
const recent = 64

type generator struct {
	opts   GenOptions
	rng    *rand.Rand
	now    time.Time
	models []genModel
	deck   []genKind
	buf    []byte
	past   []Generated
	made   int
}

// genModel is the history of one model so far.
type genModel struct {
	name, experiment, monitor string
	jobs                      int    // jobs begun
	job                       string // the one under way, "" for none
	phase                     int    // what of genStatuses it has reported
	trained                   string // completed, not registered yet
	data                      int    // its training data's version
	version, deployed         int
	breaching                 string // a step that reported a breach and has not completed
	root                      string // its pipeline run
	tag                       int    // its breach tag
	monitorRuns               int
}

type genKind uint8

const (
	genStatus genKind = iota
	genCompleted
	genRegistered
	genDeployed
	genBreach
	genPass
	genDrift
)

var genStatuses = []string{"Queued", "Running", "Finalizing"}

func newGenerator(o GenOptions) *generator {
	o.Assets = orElse(max(o.Assets, 0), 100)
	o.Mix = orElse(o.Mix, DefaultMix())
	o.Schema = orElse(o.Schema, EventGrid)
	o.Casing = orElse(o.Casing, Camel)
	o.Source = orElse(o.Source, New(Options{}).ID())
	o.Start = orElse(o.Start, time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	o.Interval = orElse(o.Interval, 50*time.Millisecond)
	g := &generator{opts: o, rng: rand.New(rand.NewPCG(uint64(o.Seed), 0x6e4)), now: o.Start.UTC()}
	for i := range o.Assets {
		name := "model_" + strconv.Itoa(i+1)
		g.models = append(g.models, genModel{
			name: name, data: 1,
			experiment: stableUUID(o.Seed, "experiment/"+name), monitor: stableUUID(o.Seed, "monitor/"+name),
		})
	}
	for kind, n := range []int{o.Mix.RunStatus, o.Mix.RunCompleted, o.Mix.ModelRegistered, o.Mix.ModelDeployed, o.Mix.Breach, o.Mix.Pass, o.Mix.Drift} {
		g.deck = append(g.deck, slices.Repeat([]genKind{genKind(kind)}, max(n, 0))...)
	}
	return g
}

// next makes the next event of a model drawn by lot.
func (g *generator) next() Generated {
	m := &g.models[g.rng.IntN(len(g.models))]
	kind := g.deck[g.rng.IntN(len(g.deck))]
	g.now = g.now.Add(time.Duration(1+g.rng.Int64N(max(1, 2*int64(g.opts.Interval)/100))) * 100)
	g.made++
	switch m.possible(kind) {
	case genStatus:
		return g.status(m)
	case genCompleted:
		return g.completed(m)
	case genRegistered:
		return g.registered(m)
	case genDeployed:
		return g.deployed(m)
	case genBreach:
		return g.breach(m)
	case genPass:
		return g.pass(m)
	default:
		return g.drift(m)
	}
}

// possible steps back from a kind to what must come before it.
func (m *genModel) possible(kind genKind) genKind {
	if (kind == genBreach || kind == genPass) && m.deployed == 0 {
		kind = genDeployed
	}
	if kind == genDeployed && m.deployed == m.version {
		kind = genRegistered
	}
	if kind == genRegistered && m.trained == "" {
		kind = genCompleted
	}
	if kind == genStatus && m.phase == len(genStatuses) {
		kind = genCompleted
	}
	return kind
}

// repeat remembers an event and now and then yields one again.
func (g *generator) repeat(e Generated, yield func(Generated) bool) bool {
	e.Body = slices.Clone(e.Body)
	if len(g.past) < recent {
		g.past = append(g.past, e)
	} else {
		g.past[g.made%recent] = e
	}
	if g.rng.Float64() >= g.opts.DuplicateRate {
		return true
	}
	again := g.past[g.rng.IntN(len(g.past))]
	again.Duplicate = true
	return yield(again)
}
