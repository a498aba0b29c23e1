package web

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Status is the service at a glance.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptimeSeconds"`
	Queue   Depth     `json:"queue"`
	// OpenReviews counts what is not resolved.
	OpenReviews map[review.Severity]int `json:"openReviews" doc:"Reviews that are not resolved, by severity"`
	Workspaces  []string                `json:"workspaces" nullable:"false" doc:"Workspaces with models"`
	Policies    Policies                `json:"policies"`
}

// Depth counts messages in the queue; -1 is "can't tell".
type Depth struct {
	Ready   int64 `json:"ready" doc:"Waiting; -1 where the queue can't tell"`
	Leased  int64 `json:"leased" doc:"Being worked on"`
	Delayed int64 `json:"delayed" doc:"Not due yet"`
	Dead    int64 `json:"dead" doc:"Dead letters"`
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Status     string      `json:"status" enum:"ready,not ready"`
	Components []Component `json:"components,omitempty" doc:"Only for callers with a token"`
}

func (s *server) statusRoutes(a huma.API) {
	register(a, s, get("get-status", "/api/v1/status", "Service", "Version, queue, open reviews, policies"), s.status)
}

func (s *server) policies() Policies {
	p := s.Policies()
	if p.Names == nil {
		p.Names = []string{}
	}
	return p
}

func (s *server) status(ctx context.Context, _ *struct{}) (Status, error) {
	st := Status{Version: s.Version, Started: s.started.UTC(), Uptime: s.Now().Sub(s.started).Seconds(), Policies: s.policies()}
	depth, err := s.Queue.Depth(ctx)
	if err != nil {
		return st, err
	}
	st.Queue = Depth(depth)
	if st.OpenReviews, err = s.counts.get(ctx, s.Desk, s.Now()); err != nil {
		return st, err
	}
	if st.Workspaces, err = lineage.Workspaces(ctx, s.Store); st.Workspaces == nil {
		st.Workspaces = []string{}
	}
	return st, err
}

// countsFor is how long a count of the open reviews is good: counting follows
// each of them, and the first page asks for it every time.
const countsFor = 2 * time.Second

// counter keeps the last count.
type counter struct {
	mu   sync.Mutex
	last map[review.Severity]int
	at   time.Time
}

func (c *counter) get(ctx context.Context, d desk, now time.Time) (map[review.Severity]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.at); c.last != nil && age >= 0 && age < countsFor {
		return maps.Clone(c.last), nil
	}
	counts, err := d.OpenCounts(ctx)
	if err != nil {
		return nil, err
	}
	c.last, c.at = counts, now
	return maps.Clone(counts), nil
}

// plainRoutes mounts what is not JSON in and out, and notes it in the
// document.
func (s *server) plainRoutes(mux *http.ServeMux, doc *huma.OpenAPI) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	note(doc, "get-health", "/healthz", "Whether the process lives; needs no token", "text/plain")
	mux.HandleFunc("GET /readyz", s.ready)
	note(doc, "get-readiness", "/readyz", "Whether every component can work (503 when not); needs no token, tells components only to holders of one", "application/json")
	if s.Gatherer != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(s.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
		note(doc, "get-metrics", "/metrics", "Metrics in the Prometheus exposition format", "text/plain")
	}
	note(doc, "get-openapi", "/openapi.json", "This document", "application/openapi+json")
}

// note documents a route that is mounted by hand.
func note(doc *huma.OpenAPI, id, path, summary, contentType string) {
	op := get(id, path, "Service", summary)
	op.Responses = map[string]*huma.Response{
		"200": {Description: "OK", Content: map[string]*huma.MediaType{contentType: {}}},
	}
	if id == "get-readiness" {
		op.Responses["503"] = &huma.Response{Description: "A component can't work"}
	}
	if id == "get-health" || id == "get-readiness" {
		op.Security = []map[string][]string{{}}
	}
	doc.AddOperation(&op)
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	out, code := Readiness{Status: "ready", Components: s.Components(r.Context())}, http.StatusOK
	for _, c := range out.Components {
		if !c.OK {
			out.Status, code = "not ready", http.StatusServiceUnavailable
		}
	}
	if !s.trusts(r) {
		out.Components = nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(out)
}
