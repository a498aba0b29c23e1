package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Tags that are written back to a model version in Azure Machine Learning: its
// stage, and the review that is open about it.
const (
	stageTag  = "modelwarden.stage"
	reviewTag = "modelwarden.review"
)

// tagWriter writes the stage of a model version, and its open review, back to
// where people look at the model. A change only says that it is time to: what
// is written is what holds now, so news that comes late writes nothing old.
type tagWriter struct {
	review    func(ctx context.Context, id string) (review.Review, error)
	tag       func(ctx context.Context, ws event.Workspace, name, version string, tags map[string]string) error
	workspace func(alias string) (event.Workspace, bool)
	store     lineage.Store
	// url is where people reach the service; "" tags a review by its id.
	url string
}

func (w *tagWriter) wants(t policy.ChangeType) bool {
	return t == policy.StageChanged || t == policy.ReviewChanged
}

func (w *tagWriter) tell(ctx context.Context, changes []policy.Change) error {
	for _, c := range changes {
		model, tags, err := w.tagsOf(ctx, c)
		if err == nil && model != "" {
			err = w.write(ctx, model, tags)
		}
		if err != nil {
			return fmt.Errorf("write back %s of %s: %w", c.Type, c.Subject, err)
		}
	}
	return nil
}

// tagsOf are the tags that a change asks for, and the model version they are
// of; "" when it concerns none.
func (w *tagWriter) tagsOf(ctx context.Context, c policy.Change) (lineage.ID, map[string]string, error) {
	if c.Type == policy.StageChanged {
		doc, err := lineage.Load(ctx, w.store, lineage.ID(c.Subject))
		if err != nil || doc == nil {
			return "", nil, err
		}
		return doc.ID, map[string]string{stageTag: doc.Stage()}, nil
	}
	r, err := w.review(ctx, strings.TrimPrefix(c.Subject, reviewSubject))
	if err != nil {
		return "", nil, err
	}
	model, err := w.version(ctx, lineage.ID(r.Model))
	link := r.ID
	if w.url != "" {
		link = strings.TrimRight(w.url, "/") + "/reviews/" + r.ID
	}
	if r.State == review.Resolved {
		link = "" // removes the tag
	}
	return model, map[string]string{reviewTag: link}, err
}

// version is the model version that is meant: the one named, else the one in
// service.
func (w *tagWriter) version(ctx context.Context, model lineage.ID) (lineage.ID, error) {
	if model.Kind() != lineage.Model || model.Version() != "" {
		return model, nil
	}
	doc, err := lineage.Load(ctx, w.store, model)
	if err != nil || doc == nil || doc.Text("serving") == "" {
		return "", err
	}
	return lineage.NewID(lineage.Model, model.Workspace(), model.Name(), doc.Text("serving")), nil
}

// write tags a version; one that Azure does not have, or whose workspace is
// not configured, is left alone.
func (w *tagWriter) write(ctx context.Context, model lineage.ID, tags map[string]string) error {
	ws, known := w.workspace(model.Workspace())
	if !known || model.Kind() != lineage.Model {
		return nil
	}
	err := w.tag(ctx, ws, model.Name(), model.Version(), tags)
	if errors.Is(err, lineage.ErrNotFound) {
		return nil
	}
	return err
}
