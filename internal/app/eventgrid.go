package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/eventgrid"
	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/worker"
)

// publisher is the configured topic for the service's own changes; nil when
// there is none.
func (c *Config) publisher(creds *credentials) (*eventgrid.Publisher, error) {
	p := c.Publish
	if p.Endpoint == "" {
		return nil, nil
	}
	key, err := secretOf("publish", p.KeyEnv, p.KeyFile, "MODELWARDEN_PUBLISH_KEY", creds.getenv)
	if err != nil {
		return nil, err
	}
	o := eventgrid.PublisherOptions{Endpoint: p.Endpoint, Key: key}
	if key == "" {
		if o.Credential, err = creds.get("publish"); err != nil {
			return nil, err
		}
	}
	out, err := eventgrid.NewPublisher(o)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return out, nil
}

// source is the configured pull subscription; nil when there is none.
func (c *Config) source(creds *credentials) (*eventgrid.Source, error) {
	p := c.Pull
	if p.Endpoint == "" {
		return nil, nil
	}
	key, err := secretOf("pull", p.KeyEnv, p.KeyFile, "MODELWARDEN_PULL_KEY", creds.getenv)
	if err != nil {
		return nil, err
	}
	o := eventgrid.SourceOptions{Endpoint: p.Endpoint, Topic: p.Topic, Subscription: p.Subscription, Key: key}
	if key == "" {
		if o.Credential, err = creds.get("pull"); err != nil {
			return nil, err
		}
	}
	out, err := eventgrid.NewSource(o)
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	return out, nil
}

// wirePull makes a subscriber fetch events, where the configuration names a
// subscription.
func (a *App) wirePull() error {
	if !a.cfg.hasRole(RoleSubscriber) {
		return nil
	}
	source, err := a.cfg.source(a.creds)
	if err != nil || source == nil {
		return err
	}
	p := a.cfg.Pull
	a.pull, err = ingest.NewPull(ingest.PullOptions{
		Source: source, Queue: a.engines.queue, Name: p.Topic + "/" + p.Subscription, Batch: p.Batch, Wait: time.Duration(p.Wait),
		Registerer: a.registry, Logger: a.log,
	})
	return err
}

// wirePublishing makes workers and the desk plan publications, and gives the
// effector that performs them; nil when nobody is told.
func (a *App) wirePublishing(creds *credentials, observer effect.Observer) (policy.Effector, error) {
	var all listeners
	p, err := a.cfg.publisher(creds)
	if err != nil {
		return nil, err
	}
	if p != nil {
		all = append(all, &topic{publisher: p, types: a.cfg.Publish.Types, source: cmp.Or(a.cfg.Publish.Source, "/modelwarden")})
	}
	if a.azure != nil && a.cfg.AzureML.WriteBack {
		all = append(all, &tagWriter{review: a.desk.Get, tag: a.azure.TagModel, workspace: workspaceByAlias(a.around), store: a.engines.store, url: a.cfg.URL})
	}
	if len(all) == 0 {
		return nil, nil
	}
	a.publications = &worker.Publications{Queue: a.engines.queue, Now: time.Now, Wants: all.want}
	return effect.Guard(all, effect.GuardOptions{Target: policy.Changes, Observer: observer}), nil
}

// listener is somebody who is told of changes. Telling again must be harmless.
type listener interface {
	wants(t policy.ChangeType) bool
	tell(ctx context.Context, changes []policy.Change) error
}

// listeners are told together: when one fails, all are told again.
type listeners []listener

func (l listeners) want(t policy.ChangeType) bool {
	return slices.ContainsFunc(l, func(one listener) bool { return one.wants(t) })
}

// Do implements policy.Effector.
func (l listeners) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	changes, err := policy.PublishedChanges(a)
	if err != nil {
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("changes to publish: %w", err)}
	}
	for _, one := range l {
		wanted := slices.DeleteFunc(slices.Clone(changes), func(c policy.Change) bool { return !one.wants(c.Type) })
		if err := one.tell(ctx, wanted); err != nil {
			return policy.Outcome{}, err
		}
	}
	return policy.Outcome{Summary: fmt.Sprintf("told of %d changes", len(changes))}, nil
}

// reviewSubject begins the subject of what is published of a review.
const reviewSubject = "review/"

// reviewChange is what is published of a change of a review.
func reviewChange(c review.Change) policy.Change {
	r := c.Review
	data, _ := json.Marshal(map[string]any{ // texts, numbers and times
		"id": r.ID, "from": c.From, "state": r.State, "severity": r.Severity, "title": r.Title, "reason": r.Reason, "cause": r.Cause,
		"count": r.Count, "opened": r.Opened, "updated": r.Updated, "acknowledgedBy": r.AckedBy, "resolution": r.Resolution,
		"assets": r.Assets, "model": r.Model, "workspace": r.Workspace, "policies": r.Policies,
	})
	return policy.Change{
		ID:   event.Digest("review", r.ID, string(r.State), fmt.Sprint(r.Count), r.Updated.UTC().Format(time.RFC3339Nano)),
		Type: policy.ReviewChanged, Subject: reviewSubject + r.ID, Time: r.Updated, Data: data,
	}
}

// topic publishes changes as CloudEvents, the same ids however often.
type topic struct {
	publisher *eventgrid.Publisher
	types     []policy.ChangeType
	source    string
}

func (t *topic) wants(c policy.ChangeType) bool {
	return len(t.types) == 0 || slices.Contains(t.types, c)
}

func (t *topic) tell(ctx context.Context, changes []policy.Change) error {
	events := make([]event.Envelope, len(changes))
	for i, c := range changes {
		events[i] = event.Envelope{ID: c.ID, Source: t.source, Type: string(c.Type), Subject: c.Subject, Time: c.Time, Data: c.Data}
	}
	return t.publisher.Publish(ctx, events)
}

func (c *Config) tryPull(ctx context.Context, creds *credentials) error {
	s, err := c.source(creds)
	if err != nil {
		return err
	}
	if s == nil {
		return errNotConfigured
	}
	return s.Check(ctx)
}

func (c *Config) tryPublish(ctx context.Context, creds *credentials) error {
	p, err := c.publisher(creds)
	if err != nil {
		return err
	}
	if p == nil {
		return errNotConfigured
	}
	return p.Check(ctx)
}
