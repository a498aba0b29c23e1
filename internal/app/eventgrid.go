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
	"github.com/modelwarden/modelwarden/internal/lineage"
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
// effector that performs them; nil when nothing is published.
func (a *App) wirePublishing(creds *credentials, observer effect.Observer) (policy.Effector, error) {
	p, err := a.cfg.publisher(creds)
	if err != nil || p == nil {
		return nil, err
	}
	types := a.cfg.Publish.Types
	a.publications = &worker.Publications{
		Queue: a.engines.queue, Now: time.Now,
		Wants: func(t policy.ChangeType) bool { return len(types) == 0 || slices.Contains(types, t) },
	}
	a.desk.Alongside = func(ctx context.Context, partition string, c review.Change) ([]lineage.Change, func(context.Context), error) {
		return a.publications.Plan(ctx, partition, reviewChange(c))
	}
	topic := &changesTopic{publisher: p, source: cmp.Or(a.cfg.Publish.Source, "/modelwarden")}
	return effect.Guard(topic, effect.GuardOptions{Target: policy.Changes, Observer: observer}), nil
}

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
		Type: policy.ReviewChanged, Subject: "review/" + r.ID, Time: r.Updated, Data: data,
	}
}

// changesTopic publishes changes as CloudEvents.
type changesTopic struct {
	publisher *eventgrid.Publisher
	source    string
}

// Do implements policy.Effector. Publishing again repeats the same ids.
func (t *changesTopic) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	changes, err := policy.PublishedChanges(a)
	if err != nil {
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("changes to publish: %w", err)}
	}
	events := make([]event.Envelope, len(changes))
	for i, c := range changes {
		events[i] = event.Envelope{ID: c.ID, Source: t.source, Type: string(c.Type), Subject: c.Subject, Time: c.Time, Data: c.Data}
	}
	if err := t.publisher.Publish(ctx, events); err != nil {
		return policy.Outcome{}, err
	}
	return policy.Outcome{Summary: fmt.Sprintf("published %d changes", len(events))}, nil
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
