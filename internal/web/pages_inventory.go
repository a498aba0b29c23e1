package web

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// modelRow is a model version; the one that serves has the newest breach since
// it does.
type modelRow struct {
	lineage.InventoryItem
	Breach *MonitorWindow
	// Serves marks the version that is deployed now; Watched says that a
	// monitor looks at it.
	Serves, Watched bool
}

type inventoryData struct {
	listing[modelRow]
	Status Status
	// Worst is the highest severity among the open reviews, "" when none is.
	Worst review.Severity
	Open  int
	Ready []Component
}

// homePage is the inventory, below a line that says how things stand.
func (s *server) homePage(r *http.Request) (view, error) {
	q := r.URL.Query()
	models, err := s.listModels(r.Context(), &ModelsInput{
		Workspace: q.Get("workspace"), Stage: q.Get("stage"), Q: q.Get("q"), Paging: paging(r),
	})
	if err != nil {
		return view{}, err
	}
	rows, err := s.modelRows(r.Context(), models.Items)
	if err != nil {
		return view{}, err
	}
	d := inventoryData{listing: newListing(r, List[modelRow]{Items: rows, NextCursor: models.NextCursor})}
	if d.Status, err = s.status(r.Context(), nil); err != nil {
		return view{}, err
	}
	for severity, n := range d.Status.OpenReviews {
		d.Open += n
		if n > 0 && (d.Worst == "" || severity.Exceeds(d.Worst)) {
			d.Worst = severity
		}
	}
	for _, c := range s.Components(r.Context()) {
		if !c.OK {
			d.Ready = append(d.Ready, c)
		}
	}
	return view{Template: "inventory", Title: "Models", Section: "models", Data: d}, nil
}

// modelRows looks up the last breach of each model, once for all versions.
func (s *server) modelRows(ctx context.Context, items []lineage.InventoryItem) ([]modelRow, error) {
	found := map[lineage.ID]*modelState{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(actionReaders)
	for _, it := range items {
		name := modelName(it.ID)
		if found[name] != nil {
			continue
		}
		state := &modelState{}
		found[name] = state
		g.Go(func() error { return s.modelState(gctx, name, state) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	rows := make([]modelRow, len(items))
	for i, it := range items {
		rows[i] = modelRow{InventoryItem: it}
		if state := found[modelName(it.ID)]; state.serving == it.Version {
			rows[i].Serves, rows[i].Watched, rows[i].Breach = true, state.watched, state.breach
		}
	}
	return rows, nil
}

// modelState is what concerns a model as such, whichever version serves.
type modelState struct {
	serving string
	watched bool
	breach  *MonitorWindow
}

func (s *server) modelState(ctx context.Context, name lineage.ID, out *modelState) error {
	doc, err := lineage.Load(ctx, s.Store, name)
	if err != nil || doc == nil {
		return err
	}
	out.serving, out.watched = doc.Text("serving"), len(watchersOf(doc)) > 0
	windows, err := s.windows(ctx, doc)
	// A breach before the version began to serve is another version's.
	if last := lastBreaches(windows); len(last) > 0 && !last[0].At.Before(doc.Fields["serving"].S.At) {
		out.breach = &last[0]
	}
	return err
}
