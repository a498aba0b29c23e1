package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// register adds the metrics that are read from queue and store at scrape
// time, and those of reviews.
func (a *App) register() error {
	ack := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "modelwarden_review_ack_seconds",
		Help:    "Time from the opening of a review to its acknowledgement.",
		Buckets: []float64{10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400}})
	a.desk.OnChange = func(_ context.Context, c review.Change) {
		if d, ok := c.AckDelay(); ok {
			ack.Observe(d.Seconds())
		}
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "modelwarden_build_info", Help: "Constant 1, labelled with the version.",
		ConstLabels: prometheus.Labels{"version": a.o.Version}})
	build.Set(1)
	return errors.Join(a.registry.Register(ack), a.registry.Register(build), a.registry.Register(&stateCollector{app: a}))
}

// requestUnits counts what a store that charges for its work charged.
func requestUnits(r prometheus.Registerer) *prometheus.CounterVec {
	units := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "modelwarden_store_request_units_total",
		Help: "Request units that the store charged; the embedded store charges none."}, []string{"operation"})
	for _, operation := range []string{"commit", "get", "list"} {
		units.WithLabelValues(operation)
	}
	r.MustRegister(units)
	return units
}

var (
	descQueue   = prometheus.NewDesc("modelwarden_queue_messages", "Messages by queue and state; absent where the backend can't tell.", []string{"queue", "state"}, nil)
	descDead    = prometheus.NewDesc("modelwarden_dead_letter_messages", "Messages taken out of circulation.", nil, nil)
	descReviews = prometheus.NewDesc("modelwarden_reviews_open", "Unresolved reviews by severity.", []string{"severity"}, nil)
	descCovered = prometheus.NewDesc("modelwarden_monitoring_coverage_ratio", "Share of the models in service that a monitor watches, by workspace.", []string{"workspace"}, nil)
	descModels  = prometheus.NewDesc("modelwarden_models", "Model versions by workspace and stage.", []string{"workspace", "stage"}, nil)
)

// Bounds of what one scrape may cost: counts are kept for a while, and
// workspaces beyond the bound are left out.
const (
	scrapeTimeout  = 5 * time.Second
	minCountsValid = time.Second
	maxCountsValid = time.Minute
	maxCounted     = 50_000
	maxModelSeries = 500
	maxCovered     = 5_000
)

// stateCollector reads what is stored when Prometheus asks. Where that means
// listing, counts stay valid for twenty times as long as it took to get them,
// so that counting takes at most a twentieth of the time.
type stateCollector struct {
	app *App

	mu      sync.Mutex
	valid   time.Time
	models  map[[2]string]float64
	covered map[string]float64
	reviews map[review.Severity]int
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descQueue, descDead, descReviews, descModels, descCovered} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	c.queue(ctx, ch)
	if !c.app.cfg.needsStore() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if began := time.Now(); began.After(c.valid) {
		c.count(ctx)
		c.valid = time.Now().Add(min(max(20*time.Since(began), minCountsValid), maxCountsValid))
	}
	for _, s := range review.Severities() {
		ch <- prometheus.MustNewConstMetric(descReviews, prometheus.GaugeValue, float64(c.reviews[s]), string(s))
	}
	for k, n := range c.models {
		ch <- prometheus.MustNewConstMetric(descModels, prometheus.GaugeValue, n, k[0], k[1])
	}
	for ws, ratio := range c.covered {
		ch <- prometheus.MustNewConstMetric(descCovered, prometheus.GaugeValue, ratio, ws)
	}
}

func (c *stateCollector) queue(ctx context.Context, ch chan<- prometheus.Metric) {
	d, err := c.app.engines.queue.Depth(ctx)
	if err != nil {
		return
	}
	for state, n := range map[string]int64{"ready": d.Ready, "leased": d.Leased, "delayed": d.Delayed} {
		if n >= 0 {
			ch <- prometheus.MustNewConstMetric(descQueue, prometheus.GaugeValue, float64(n), "events", state)
		}
	}
	if d.Dead >= 0 {
		ch <- prometheus.MustNewConstMetric(descDead, prometheus.GaugeValue, float64(d.Dead))
	}
}

// count lists what has to be listed; what fails keeps its old value.
func (c *stateCollector) count(ctx context.Context) {
	if counts, err := c.app.desk.OpenCounts(ctx); err == nil {
		c.reviews = counts
	}
	models, cursor := map[[2]string]float64{}, ""
	inService := map[lineage.ID]bool{}
	for n := 0; n < maxCounted; {
		items, next, err := lineage.ListModels(ctx, c.app.engines.store, lineage.ModelFilter{}, cursor, 500)
		if err != nil {
			return
		}
		for _, it := range items {
			if it.Stage == "deployed" && len(inService) < maxCovered {
				inService[lineage.NewID(lineage.Model, it.Workspace, it.Name)] = true
			}
			k := [2]string{it.Workspace, it.Stage}
			if _, known := models[k]; !known && len(models) >= maxModelSeries {
				k = [2]string{"other", it.Stage}
			}
			models[k]++
		}
		if n, cursor = n+len(items), next; cursor == "" {
			break
		}
	}
	c.models = models
	if covered, err := c.coverage(ctx, inService); err == nil {
		c.covered = covered
	}
}

// coverage is the share of the models that a monitor watches, by workspace.
func (c *stateCollector) coverage(ctx context.Context, models map[lineage.ID]bool) (map[string]float64, error) {
	total, watched := map[string]float64{}, map[string]float64{}
	for id := range models {
		model, err := lineage.Load(ctx, c.app.engines.store, id)
		if err != nil {
			return nil, err
		}
		total[id.Workspace()]++
		if model != nil && slices.ContainsFunc(model.Edges, func(e lineage.Edge) bool { return e.Type == lineage.Watches && !e.Out }) {
			watched[id.Workspace()]++
		}
	}
	for ws, n := range total {
		total[ws] = watched[ws] / n
	}
	return total, nil
}
