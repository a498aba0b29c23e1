// Package sandbox simulates one Azure Machine Learning workspace, closely
// enough that a service which manages models can't tell the difference over
// HTTP: it emits events the way Event Grid delivers them, answers the ARM and
// MLflow tracking requests of the control plane, trains "models" in seconds
// and measures drift. `modelwarden demo`, the end-to-end tests and the load
// tests stand on it.
//
// It plays Azure, so it imports nothing of the service and builds its
// payloads itself. Everything that looks random comes from Options.Seed.
//
// The lineage data → job → model can be built from events alone:
//
//   - a run's properties name its training data under [PropTrainingData], in
//     the form `azureml:churn-data:7`;
//   - a model's properties name its run under `azureml.runId`, and again in
//     `mlflow.modelSourceUri`;
//   - a step's properties name its pipeline run under
//     `azureml.rootpipelinerunid`.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// PropTrainingData is the run property that names the data asset version a
// job trained on: `azureml:<name>:<version>`. It is the sandbox's own choice,
// made of the property prefix that Azure ML uses and the input's name.
const PropTrainingData = "azureml.input.training_data"

// Errors of the scripting methods; test with errors.Is.
var (
	// ErrNotFound: the asset, job or monitor named does not exist.
	ErrNotFound = errors.New("not found")
	// ErrState: the asset exists but can't do that now (a finished job can't
	// fail, a monitor needs a deployed model).
	ErrState = errors.New("not possible in this state")
	// ErrFull: the sandbox holds as many assets as Options.MaxAssets allows.
	ErrFull = errors.New("the sandbox is full: raise Options.MaxAssets")
)

// Options configure a Workspace. The zero value is usable.
type Options struct {
	// SubscriptionID, ResourceGroup and Name make up the ARM id. Default to
	// 5f0c1e2a-7b3d-4c55-9a10-3d2f6b8c9e01, rg-sandbox and contoso-ml.
	SubscriptionID, ResourceGroup, Name string
	// Now stamps events and resources; waiting itself uses timers. Defaults
	// to time.Now.
	Now func() time.Time
	// Seed decides ids, metrics, shuffles and drops.
	Seed int64
	// TrainTime is how long a job takes from submission to its end. Defaults
	// to 2 s.
	TrainTime time.Duration
	// UpdateTime is how long a change of an endpoint's traffic is under way.
	// Zero means that it is done at once.
	UpdateTime time.Duration
	// Training says which components train which models.
	Training []Training
	// Subscriptions are the event subscriptions that exist from the start;
	// Subscribe adds more.
	Subscriptions []Subscription
	// SilentFailures keeps failed and cancelled jobs from emitting any event,
	// as Azure ML does for most kinds of operation.
	SilentFailures bool
	// PublicURL is where Handler can be reached from outside. With it, links
	// lead there, the Studio link of a job to the job's own resource;
	// without, links to further pages lead where the request came in, and
	// Studio links to Azure's studio, as real ones do.
	PublicURL string
	// Token, if not empty, is the bearer token that Handler demands.
	Token string
	// PageSize is the length of a page in ARM and MLflow listings. Defaults
	// to 10, so that paging is exercised.
	PageSize int
	// MaxAssets bounds jobs, and separately model versions, data versions,
	// deployments and monitors. Defaults to 20,000.
	MaxAssets int
	// HTTPClient delivers events; it never follows redirects here, and its
	// idle connections are closed with the workspace. Defaults to a client of
	// its own. See InMemory for a transport without sockets.
	HTTPClient *http.Client
	// Logger hears of deliveries that fail. Defaults to none.
	Logger *zap.Logger
}

// Training ties a pipeline component to the model it makes.
type Training struct {
	// Component is the component's name without version: "train_churn".
	Component string
	// Model is the name new versions are registered under; Tags go with them.
	Model string
	Tags  map[string]string
	// Data is the data asset it trains on where the job's inputs name none.
	Data string
	// Endpoint and Deployment are where a new version goes at once; no
	// Endpoint, no deployment. Deployment defaults to blue.
	Endpoint, Deployment string
}

// Workspace is a simulated Azure ML workspace. Its methods are safe for
// concurrent use.
type Workspace struct {
	opts   Options
	faults faultScript
	log    *zap.Logger

	mu           sync.Mutex
	ids          *identities
	last         time.Time // latest stamp given out
	live         map[string]float64
	data         map[string][]*dataVersion
	jobs         map[string]*job
	jobOrder     []*job
	models       map[string][]*modelVersion
	endpoint     map[string]*endpoint
	monitors     map[string]*monitor
	batch        map[string]string // batch endpoints: the component that each runs
	count        int               // assets other than jobs
	accuracy     []float64
	subs         map[string]*subscriber
	agenda       agenda
	appointments uint64
	wake         chan struct{}

	ctx     context.Context
	cancel  context.CancelFunc
	running bool
	closed  bool
	group   sync.WaitGroup
}

// New makes a workspace. Nothing runs before Start: events wait, jobs stay
// NotStarted.
func New(o Options) *Workspace {
	o = o.withDefaults()
	w := &Workspace{
		opts:     o,
		log:      o.Logger,
		ids:      newIdentities(o.Seed),
		live:     map[string]float64{},
		data:     map[string][]*dataVersion{},
		jobs:     map[string]*job{},
		models:   map[string][]*modelVersion{},
		endpoint: map[string]*endpoint{},
		monitors: map[string]*monitor{},
		batch:    map[string]string{},
		subs:     map[string]*subscriber{},
		wake:     make(chan struct{}, 1),
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (o Options) withDefaults() Options {
	o.PublicURL = strings.TrimSuffix(o.PublicURL, "/")
	o.SubscriptionID = orElse(o.SubscriptionID, "5f0c1e2a-7b3d-4c55-9a10-3d2f6b8c9e01")
	o.ResourceGroup = orElse(o.ResourceGroup, "rg-sandbox")
	o.Name = orElse(o.Name, "contoso-ml")
	o.TrainTime = orElse(o.TrainTime, 2*time.Second)
	o.PageSize = orElse(max(o.PageSize, 0), 10)
	o.MaxAssets = orElse(max(o.MaxAssets, 0), 20_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	o.HTTPClient = deliveryClient(o.HTTPClient)
	return o
}

// deliveryClient is a client that does not follow redirects: to Event Grid
// they are failures.
func deliveryClient(given *http.Client) *http.Client {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}}
	if given != nil {
		*c = *given
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

func orElse[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// Start sets jobs and deliveries going. It returns at once; an error means a
// subscription of Options is unusable and nothing was started. Starting twice
// is an error.
func (w *Workspace) Start() error {
	for _, s := range w.opts.Subscriptions {
		if err := w.Subscribe(s); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running || w.closed {
		return fmt.Errorf("start sandbox: already started or closed: %w", ErrState)
	}
	w.running = true
	w.group.Go(w.runAgenda)
	for _, s := range w.subs {
		s.start(w.ctx, &w.group)
	}
	return nil
}

// Close stops jobs and deliveries and waits for their goroutines. What was
// not delivered is lost: Flush first. Closing early or twice is fine.
func (w *Workspace) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.group.Wait()
	w.opts.HTTPClient.CloseIdleConnections()
	return nil
}

// ID is the workspace's ARM id, the source (or topic) of every event.
func (w *Workspace) ID() string {
	return "/subscriptions/" + w.opts.SubscriptionID + "/resourceGroups/" + w.opts.ResourceGroup +
		"/providers/Microsoft.MachineLearningServices/workspaces/" + w.opts.Name
}

// stamp is the present, strictly later than every stamp before it, in the
// resolution that Azure writes (100 ns). Callers hold w.mu.
func (w *Workspace) stamp() time.Time {
	t := w.opts.Now().UTC().Truncate(100 * time.Nanosecond)
	if !t.After(w.last) {
		t = w.last.Add(100 * time.Microsecond)
	}
	w.last = t
	return t
}

// room reserves a place for one more asset. Callers hold w.mu.
func (w *Workspace) room() error {
	if w.count >= w.opts.MaxAssets {
		return ErrFull
	}
	w.count++
	return nil
}

// splitAssetRef reads `azureml:name:version`, `azureml:name@latest`,
// `name:version` or an ARM id ending in `<kind>/name/versions/version`.
func splitAssetRef(ref string) (name, version string) {
	if i := strings.Index(strings.ToLower(ref), "/versions/"); i >= 0 {
		return ref[strings.LastIndexByte(ref[:i], '/')+1 : i], ref[i+len("/versions/"):]
	}
	ref = strings.TrimPrefix(ref, "azureml:")
	if name, label, ok := strings.Cut(ref, "@"); ok {
		return name, strings.TrimPrefix(label, "latest")
	}
	name, version, _ = strings.Cut(ref, ":")
	return name, version
}
