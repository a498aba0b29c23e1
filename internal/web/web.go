// Package web is the face that people and commands see: the HTTP API with its
// OpenAPI document, and the server-rendered pages. It decides nothing itself:
// it reads what the workers wrote, and passes on-call's verbs to those who
// carry them out.
//
// One file holds one resource: its query, its API routes and the shapes of
// its answers. The files named pages_*.go render the same queries as HTML.
package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// queue is what the status and the verbs need of a lineage.Queue.
type queue interface {
	Send(ctx context.Context, messages []lineage.Message) error
	Depth(ctx context.Context) (lineage.Depth, error)
}

// desk is what this package needs of a review.Desk.
type desk interface {
	Get(ctx context.Context, id string) (review.Review, error)
	List(ctx context.Context, f review.Filter, cursor string, limit int) ([]review.Review, string, error)
	Do(ctx context.Context, id string, c review.Command) (review.Review, error)
	OpenCounts(ctx context.Context) (map[review.Severity]int, error)
	Silence(ctx context.Context, s review.Silence) (review.Silence, error)
	EndSilence(ctx context.Context, id, by string) (review.Silence, error)
	Silences(ctx context.Context, state, cursor string, limit int) ([]review.Silence, string, error)
	GetSilence(ctx context.Context, id string) (review.Silence, error)
}

// Component is one part of the service as /readyz reports it.
type Component struct {
	Name string `json:"name" doc:"What it is: store, queue, policies, workers"`
	OK   bool   `json:"ok" doc:"Whether it can do its work"`
	// Detail is a sentence without secrets.
	Detail string `json:"detail,omitempty" doc:"What is wrong, or what it knows"`
}

// Policies is what is known of the loaded policy file.
type Policies struct {
	Hash   string    `json:"hash" doc:"Digest of the whole policy set after parsing"`
	Mode   string    `json:"mode" enum:"enforce,observe" doc:"observe: decisions are recorded and nothing is done"`
	Names  []string  `json:"names" nullable:"false" doc:"The policies in the order of the file"`
	Loaded time.Time `json:"loaded,omitzero" doc:"When this set was loaded"`
	// LastError is the problem of the newest file, when it was refused and
	// the set before it stayed.
	LastError string `json:"lastError,omitempty" doc:"Why a newer file was refused; the set above is still in force"`
}

// Options are what New needs. Store, Queue, Dead, Desk and Parser are
// required; everything else has a default.
type Options struct {
	Store  lineage.Store
	Queue  queue
	Dead   lineage.DeadLetters
	Desk   desk
	Parser *event.Parser

	// Cards builds the cards of reviews. Defaults to what the review itself
	// tells.
	Cards cards
	// Orders places what people ask for from a review. Defaults to refusing.
	Orders orders
	// Callbacks hears what tools call back. Defaults to no target that does.
	Callbacks callbacks
	// Workspaces are the aliases of those that the service may ask Azure
	// Machine Learning about, and so can backfill. Defaults to none.
	Workspaces func() []string
	// Policies tells of the policy set in force. Defaults to none.
	Policies func() Policies
	// Components reports for /readyz. Defaults to reading the store.
	Components func(ctx context.Context) []Component

	// Tokens are the accepted API tokens; several allow rotation. None is
	// allowed only when Loopback is true.
	Tokens []string
	// Loopback says that the listener is bound to a loopback address.
	Loopback bool

	// Gatherer feeds /metrics; without one the route does not exist.
	Gatherer prometheus.Gatherer
	// Registerer takes this package's own metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Logger defaults to a silent one.
	Logger *zap.Logger
	// Version of the program, for the page and the OpenAPI document.
	// Defaults to "dev".
	Version string
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// server answers requests; its methods are spread over the resources' files.
type server struct {
	Options
	started time.Time
	guard   guard
	metrics *metrics
	pages   *pages
	counts  counter
	door    callbackDoor
}

// New builds the handler for everything but the event endpoints. It refuses
// options that would leave the service open outside loopback.
func New(o Options) (http.Handler, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	o.defaults()
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("web: metrics: %w", err)
	}
	s := &server{Options: o, started: o.Now(), guard: newGuard(o.Tokens), metrics: m, door: newCallbackDoor()}
	if s.pages, err = newPages(o.Now, o.Version); err != nil {
		return nil, fmt.Errorf("web: pages: %w", err)
	}
	mux := http.NewServeMux()
	if err := s.apiRoutes(mux); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s.pageRoutes(mux)
	s.callbackRoutes(mux)
	return s.protect(s.route(mux)), nil
}

func (o *Options) check() error {
	if o.Store == nil || o.Queue == nil || o.Dead == nil || o.Desk == nil || o.Parser == nil {
		return errors.New("store, queue, dead letters, desk and parser are required")
	}
	for _, t := range o.Tokens {
		if strings.TrimSpace(t) == "" {
			return errors.New("an API token is empty: remove it, or give it a value")
		}
	}
	if len(o.Tokens) == 0 && !o.Loopback {
		return errors.New("no API token is set: outside loopback one is required")
	}
	return nil
}

func (o *Options) defaults() {
	if o.Policies == nil {
		o.Policies = func() Policies { return Policies{Names: []string{}} }
	}
	if o.Cards == nil {
		o.Cards = bareCards{}
	}
	if o.Workspaces == nil {
		o.Workspaces = func() []string { return nil }
	}
	if o.Orders == nil {
		o.Orders = noOrders{}
	}
	if o.Callbacks == nil {
		o.Callbacks = noCallers{}
	}
	if o.Components == nil {
		o.Components = o.storeComponent
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// storeComponent is the readiness of a server that was told of no components.
func (o *Options) storeComponent(ctx context.Context) []Component {
	c := Component{Name: "store", OK: true}
	if _, err := o.Store.Get(ctx, "inventory", "ready"); err != nil {
		c.OK, c.Detail = false, "the store can't be read"
	}
	return []Component{c}
}

// route hands requests to the mux, and words its refusals as problems.
func (s *server) route(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, pattern := mux.Handler(r); pattern == "" {
			s.unrouted(w, r, h)
			return
		}
		s.metrics.observe(w, r, mux)
	})
}

// unrouted answers what no route matches: 404, or 405 with Allow.
func (s *server) unrouted(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &statusProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		s.refuse(w, r, problem(http.StatusMethodNotAllowed, "%s is not possible here: use %s", r.Method, allow))
		return
	}
	s.refuse(w, r, problem(http.StatusNotFound, "there is nothing at %s: the routes are listed in /openapi.json", r.URL.Path))
}

// statusProbe learns what a handler would answer and drops the body.
type statusProbe struct{ header http.Header }

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(int)             {}
