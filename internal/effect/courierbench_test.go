package effect

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

var errTool = errors.New("the tool is down")

// shelfStore is a lineage.Store in memory, as far as a desk's single reviews
// need one.
type shelfStore struct {
	lineage.Store
	records  map[string]lineage.Record
	versions int
	// refuse fails the next commits to partitions with this prefix.
	refuse string
}

func (s *shelfStore) Get(_ context.Context, partition string, ids ...string) ([]lineage.Record, error) {
	out := make([]lineage.Record, len(ids))
	for i, id := range ids {
		out[i] = s.records[partition+"|"+id]
	}
	return out, nil
}

func (s *shelfStore) Commit(_ context.Context, partition string, changes []lineage.Change) ([]string, error) {
	if s.refuse != "" && strings.HasPrefix(partition, s.refuse) {
		return nil, errors.New("the store is down")
	}
	for i, c := range changes {
		was, exists := s.records[partition+"|"+c.Record.ID]
		if c.Op == lineage.Create && exists {
			return nil, &lineage.ChangeError{Index: i, ID: c.Record.ID, Err: lineage.ErrExists}
		}
		if c.Op == lineage.Replace && was.Version != c.Record.Version {
			return nil, &lineage.ChangeError{Index: i, ID: c.Record.ID, Err: lineage.ErrConflict}
		}
	}
	versions := make([]string, len(changes))
	for i, c := range changes {
		if c.Op == lineage.Delete {
			delete(s.records, partition+"|"+c.Record.ID)
			continue
		}
		s.versions++
		c.Record.Version, c.Record.Partition = strconv.Itoa(s.versions), partition
		s.records[partition+"|"+c.Record.ID], versions[i] = c.Record, c.Record.Version
	}
	return versions, nil
}

// tool is a Ticketer that remembers what it was given.
type tool struct {
	made    map[string]bool
	calls   []Delivery
	loud    int
	fail    error
	refresh time.Duration
	// before, if set, runs in the middle of a call.
	before func()
	// within is how long the last call was given.
	within time.Duration
}

func (f *tool) Deliver(ctx context.Context, d Delivery) (review.Ticket, error) {
	if end, bounded := ctx.Deadline(); bounded {
		f.within = time.Until(end)
	}
	f.calls = append(f.calls, d)
	if f.before != nil {
		f.before()
	}
	if d.News.Has(review.Loud) {
		f.loud++
	}
	ref := "ref-" + d.Key
	if d.Ticket.Ref == "" && d.Card.Review.State == review.Resolved && !f.made[ref] {
		return review.Ticket{}, f.fail
	}
	f.made[ref] = d.Card.Review.State != review.Resolved
	if f.fail != nil {
		return review.Ticket{}, f.fail
	}
	t := review.Ticket{Ref: ref, State: d.Card.Review.State}
	if f.refresh > 0 {
		t.Refresh = d.Now.Add(f.refresh)
	}
	return t, nil
}

// round is a courier over a real desk and a tool, in virtual time.
type round struct {
	*testing.T
	*Courier
	desk  *review.Desk
	store *shelfStore
	tool  *tool
	now   time.Time
	// changes are what the desk committed, later the times of refreshes.
	changes []review.Change
	later   []time.Time
}

func newRound(t *testing.T) *round {
	r := &round{T: t, store: &shelfStore{records: map[string]lineage.Record{}}, tool: &tool{made: map[string]bool{}},
		now: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return r.now }
	r.desk = review.NewDesk(r.store, clock)
	r.desk.OnChange = func(_ context.Context, c review.Change) { r.changes = append(r.changes, c) }
	r.Courier = &Courier{
		Target: "pager", Ticketer: r.tool, Desk: r.desk, Name: "p1", Timeout: time.Minute, Now: clock,
		Card: func(_ context.Context, rv review.Review) (review.Card, error) { return review.Card{Review: rv}, nil },
		Later: func(_ context.Context, _, _ string, at time.Time) error {
			r.later = append(r.later, at)
			return nil
		},
	}
	return r
}

func (r *round) raise(key string, severity review.Severity) review.Review {
	r.Helper()
	rv, _, err := r.desk.Raise(r.Context(), review.Signal{Cause: "drift", Key: key, At: r.now, Title: "drift", Severity: severity, Target: "pager"})
	if err != nil {
		r.Fatal(err)
	}
	return rv
}

func (r *round) do(id string, v review.Verb) {
	r.Helper()
	if _, err := r.desk.Do(r.Context(), id, review.Command{Verb: v, By: "ann", Why: "x"}); err != nil {
		r.Fatal(err)
	}
}

// tell performs the action of the i-th change.
func (r *round) tell(i int) error {
	c := r.changes[i]
	_, err := r.Do(r.Context(), NewDelivery("review/a", r.Target, &c, r.now))
	return err
}

func (r *round) told(i int) {
	r.Helper()
	if err := r.tell(i); err != nil {
		r.Fatal(err)
	}
}

func (r *round) ticket(id string) review.Ticket {
	r.Helper()
	rv, err := r.desk.Get(r.Context(), id)
	if err != nil {
		r.Fatal(err)
	}
	all, err := r.desk.Tickets(r.Context(), rv)
	if err != nil || len(all) > 1 {
		r.Fatal(all, err)
	}
	if len(all) == 0 {
		return review.Ticket{}
	}
	return all[0]
}
