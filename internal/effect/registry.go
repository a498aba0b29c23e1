package effect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Deps are what effectors need from the service around them.
type Deps struct {
	// Desk files reviews; *review.Desk.
	Desk desk
	// Logger is where log targets write.
	Logger *zap.Logger
	// Version goes into the User-Agent.
	Version string
	// AllowLoopback permits loopback targets: set while the service itself
	// listens on loopback.
	AllowLoopback bool
	// SandboxURL is the simulated workspace's, ARM path included, for sandbox
	// targets without a URL; "" when the service runs none.
	SandboxURL string
	// AzureML is what azureml, batchEndpoint and rollback targets act in; nil
	// when none is configured, see NeedAzureML.
	AzureML AzureML
	// Workspace finds a configured workspace by its alias.
	Workspace func(alias string) (event.Workspace, bool)
	// Store is the lineage that templates and rollbacks ask, and where
	// rollbacks keep their plans.
	Store lineage.Store
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// LookupEnv reads an environment variable. Defaults to os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Resolver looks names up. Defaults to the system's.
	Resolver *net.Resolver
	// Observer hears of calls; may be nil.
	Observer Observer
}

func (d Deps) withDefaults() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.LookupEnv == nil {
		d.LookupEnv = os.LookupEnv
	}
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
	if d.Workspace == nil {
		d.Workspace = func(string) (event.Workspace, bool) { return event.Workspace{}, false }
	}
	return d
}

// records are the lineage, or no interface at all: a nil Store in one is not
// nil.
func (d *Deps) records() records {
	if d.Store == nil {
		return nil
	}
	return d.Store
}

func (d *Deps) userAgent() string { return "modelwarden/" + d.Version }

// New builds the effector of every target, policy.Desk included. Secrets are
// read here, once. Its error joins what is wrong with each target, by its
// path in the configuration, and repeats no secret. Targets that have tickets
// of reviews, webhooks apart, file them on the desk; see NewTicketers.
func New(targets map[string]policy.Target, d Deps) (map[string]policy.Effector, error) {
	d = d.withDefaults()
	all := maps.Clone(targets)
	if all == nil {
		all = map[string]policy.Target{}
	}
	if _, ok := all[policy.Desk]; !ok {
		all[policy.Desk] = policy.Target{Review: &policy.ReviewTarget{}}
	}
	out := make(map[string]policy.Effector, len(all))
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e, err := build(name, all[name], &d)
		if err != nil {
			problems = append(problems, fmt.Errorf("targets.%s.%w", name, err))
			continue
		}
		out[name] = e
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return out, nil
}

// NeedAzureML lists the targets that act in an Azure Machine Learning
// workspace, sorted. Without Deps.AzureML actions on them fail.
func NeedAzureML(targets map[string]policy.Target) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		if inAzureML(targets[name].Kind()) {
			out = append(out, name)
		}
	}
	return out
}

func inAzureML(k policy.TargetKind) bool {
	return k == policy.AzureMLKind || k == policy.BatchKind || k == policy.RollbackKind
}

// ticketAttempts is after how many attempts a review's ticket is given up for
// the change at hand: half a day at most, a few hours as a rule. What calls
// people is worth more patience than a retrain, which is soon out of date.
const ticketAttempts = 40

// BackoffOf is how a target's attempts are spaced and bounded.
func BackoffOf(t policy.Target) Backoff {
	switch {
	case t.Webhook != nil:
		return Backoff{Attempts: t.Webhook.MaxAttempts}
	case t.Kind().Ticketed():
		return Backoff{Attempts: ticketAttempts}
	}
	return Backoff{}
}

// build makes one target's effector.
func build(name string, t policy.Target, d *Deps) (policy.Effector, error) {
	kind := t.Kind()
	var e policy.Effector
	var err error
	switch {
	case kind == "":
		return nil, fmt.Errorf("kind: want exactly one of %v", policy.TargetKinds())
	case kind == policy.WebhookKind:
		e, err = buildWebhook(name, t.Webhook, d)
	case kind == policy.SandboxKind:
		e, err = buildSandbox(name, t.Sandbox, d)
	case kind == policy.GitHubKind:
		e, err = buildGitHub(name, t.GitHub, d)
	case kind == policy.AzureDevOpsKind:
		e, err = buildAzureDevOps(name, t.AzureDevOps, d)
	case inAzureML(kind):
		e, err = buildAzureML(name, t, d)
	case kind == policy.ReviewKind:
		e = NewReview(d.Desk)
	case kind == policy.LogKind:
		e = NewLog(d.Logger)
	case kind.Ticketed():
		e = NewReview(d.Desk)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.%w", kind, err)
	}
	return e, nil
}

func buildWebhook(name string, t *policy.WebhookTarget, d *Deps) (policy.Effector, error) {
	w, err := d.webhook(name, t)
	if err != nil {
		return nil, err
	}
	return Guard(w, GuardOptions{Target: name, Timeout: time.Duration(t.Timeout), Observer: d.Observer}), nil
}

// webhook reads a webhook's secrets and makes the client to call it.
func (d *Deps) webhook(name string, t *policy.WebhookTarget) (*Webhook, error) {
	secrets, err := readSecrets(t, d.LookupEnv)
	if err != nil {
		return nil, err
	}
	client, err := NewClient(Dialing{
		AllowLoopback: d.AllowLoopback, AllowPrivate: t.AllowPrivate, Resolver: d.Resolver,
		Setting: "targets." + name + ".webhook.allowPrivate",
	})
	if err != nil {
		return nil, err
	}
	return NewWebhook(WebhookOptions{
		URL: t.URL, Secrets: secrets, Headers: t.Headers, Types: t.Types,
		Client: client, UserAgent: d.userAgent(), Now: d.Now,
	})
}

func buildSandbox(name string, t *policy.SandboxTarget, d *Deps) (policy.Effector, error) {
	address := cmp.Or(t.URL, d.SandboxURL)
	if address == "" {
		return nil, errors.New("url: is missing, and this service runs no simulated workspace of its own")
	}
	u, err := parseURL(address)
	if err != nil {
		return nil, err
	}
	if t.URL != "" && !strings.Contains(u.Path, "/workspaces/") {
		return nil, errors.New("url: want the workspace's ARM path in it, /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.MachineLearningServices/workspaces/<name>")
	}
	// A simulated workspace is nobody's public service: whoever writes its
	// address means that host, private or not.
	client, err := NewClient(Dialing{
		AllowLoopback: d.AllowLoopback, AllowPrivate: []string{u.Hostname()}, Resolver: d.Resolver,
		Setting: "targets." + name + ".sandbox.url",
	})
	if err != nil {
		return nil, err
	}
	s, err := NewSandbox(SandboxOptions{
		URL: address, Component: t.Component, Experiment: t.Experiment, Inputs: t.Inputs,
		Client: client, UserAgent: d.userAgent(), Now: d.Now, Records: d.records(),
	})
	if err != nil {
		return nil, err
	}
	return Guard(s, GuardOptions{Target: name, Timeout: time.Duration(t.Timeout), Observer: d.Observer}), nil
}

// unavailable is the effector of a target that can't work here.
type unavailable struct{ why error }

// Do implements policy.Effector.
func (u unavailable) Do(context.Context, policy.Action) (policy.Outcome, error) {
	return policy.Outcome{}, &policy.PermanentError{Err: u.why}
}
