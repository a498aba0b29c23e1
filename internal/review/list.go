package review

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Bounds of one listing.
const (
	// MaxList is the most reviews that one List returns; DefaultList what it
	// returns when not told.
	MaxList     = 1000
	DefaultList = 100

	// maxVisits is how many pointers one List follows before it returns with
	// a cursor, however few of them matched.
	maxVisits = 2000
	// maxCounted is where OpenCounts stops counting.
	maxCounted = 10_000
	batch      = 100
	readers    = 8
)

// ErrCursor means that a cursor is not one that List returned.
var ErrCursor = errors.New("cursor was not issued by this list")

// Filter selects reviews; empty fields select all.
type Filter struct {
	State State
	// Unresolved keeps what is open, acknowledged or snoozed.
	Unresolved bool
	// Asset is the id of an asset or model the review speaks of.
	Asset    string
	Severity Severity
	Policy   string
	// Since and Until bound when the review was opened: Since <= t < Until.
	Since, Until time.Time
}

// keeps reports whether the review is one that the filter wants.
func (f *Filter) keeps(r *Review) bool {
	return (f.State == "" || r.State == f.State) &&
		(!f.Unresolved || r.State != Resolved) &&
		(f.Asset == "" || r.About(f.Asset)) &&
		(f.Severity == "" || r.Severity == f.Severity) &&
		(f.Policy == "" || slices.Contains(r.Policies, f.Policy)) &&
		(f.Since.IsZero() || !r.Opened.Before(f.Since)) &&
		(f.Until.IsZero() || r.Opened.Before(f.Until))
}

// onOpenShelf reports whether all that the filter can keep is unresolved.
func (f *Filter) onOpenShelf() bool {
	return f.Unresolved || f.State != "" && f.State != Resolved
}

// position is how far a listing has come: the shelf, and the pointer that was
// returned last ("" at a shelf's beginning).
type position struct{ shelf, after string }

var shelfName = regexp.MustCompile(`^(open|\d{4}-\d{2})$`)

func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.shelf + "|" + p.after))
}

func parseCursor(s string) (position, error) {
	if s == "" {
		return position{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	shelf, after, ok := strings.Cut(string(raw), "|")
	if err != nil || !ok || !shelfName.MatchString(shelf) || len(after) > 200 {
		return position{}, ErrCursor
	}
	return position{shelf, after}, nil
}

// List returns reviews that the filter keeps, the last opened first. next is
// "" at the end; a page may hold fewer than limit (even none) and still have
// a next, because one call follows a bounded number of pointers. A review
// that changes while it is being listed may appear or not.
func (d *Desk) List(ctx context.Context, f Filter, cursor string, limit int) (items []Review, next string, err error) {
	pos, err := parseCursor(cursor)
	if err == nil && pos.shelf != "" && (pos.shelf == openShelf) != f.onOpenShelf() {
		err = ErrCursor
	}
	if err != nil {
		return nil, "", err
	}
	limit = pageSize(limit)
	visits := 0
	for h, err := range d.hits(ctx, &f, pos) {
		if err != nil {
			return nil, "", err
		}
		if h.review != nil && f.keeps(h.review) {
			if len(items) == limit {
				return items, pos.cursor(), nil
			}
			items = append(items, *h.review)
		}
		pos = position{h.shelf, h.id}
		if visits++; visits >= maxVisits {
			return items, pos.cursor(), nil
		}
	}
	return items, "", nil
}

func pageSize(limit int) int {
	if limit <= 0 {
		return DefaultList
	}
	return min(limit, MaxList)
}

// OpenCounts counts the reviews that are not resolved, by severity, every
// severity present. It follows at most 10,000 pointers; callers that need it
// often keep the answer for a while.
func (d *Desk) OpenCounts(ctx context.Context) (map[Severity]int, error) {
	counts := make(map[Severity]int)
	for _, s := range Severities() {
		counts[s] = 0
	}
	visits := 0
	for h, err := range d.hits(ctx, &Filter{Unresolved: true}, position{}) {
		if err != nil {
			return nil, err
		}
		if h.review != nil {
			counts[h.review.Severity]++
		}
		if visits++; visits >= maxCounted {
			break
		}
	}
	return counts, nil
}

// hit is one pointer on a shelf and, unless it leads nowhere, its review.
type hit struct {
	pointer
	shelf  string
	review *Review
}

// hits yields the pointers that the filter's shelves hold after a position.
func (d *Desk) hits(ctx context.Context, f *Filter, from position) iter.Seq2[hit, error] {
	return func(yield func(hit, error) bool) {
		for shelf, err := range d.shelves(ctx, f, from) {
			if err != nil {
				yield(hit{}, err)
				return
			}
			after := ""
			if shelf == from.shelf {
				after = from.after
			}
			for h, err := range d.shelf(ctx, shelf, f, after) {
				if !yield(h, err) || err != nil {
					return
				}
			}
		}
	}
}

// shelves yields the shelves to read, the newest month first.
func (d *Desk) shelves(ctx context.Context, f *Filter, from position) iter.Seq2[string, error] {
	if f.onOpenShelf() {
		return func(yield func(string, error) bool) { yield(openShelf, nil) }
	}
	q := lineage.Query{Partition: monthsPartition, Descending: true, Limit: batch}
	if !f.Since.IsZero() {
		q.From = monthOf(f.Since)
	}
	if from.shelf != "" {
		q.Until = from.shelf + "~" // just above the shelf itself
	} else if !f.Until.IsZero() {
		q.Until = monthOf(f.Until) + "~"
	}
	return func(yield func(string, error) bool) {
		for page, err := range d.pages(ctx, q) {
			if err != nil {
				yield("", err)
				return
			}
			for _, r := range page {
				if !yield(r.ID, nil) {
					return
				}
			}
		}
	}
}

// shelf yields one shelf's pointers below `after`, the last opened first, each
// read through to its review. It removes the stale ones that it meets.
func (d *Desk) shelf(ctx context.Context, name string, f *Filter, after string) iter.Seq2[hit, error] {
	q := lineage.Query{Partition: shelfPartition(name), Descending: true, Limit: batch, Until: after}
	if !f.Since.IsZero() {
		q.From = f.Since.UTC().Format(stamp)
	}
	// On the open shelf a review may stand later than it was opened.
	if !f.Until.IsZero() && after == "" && name != openShelf {
		q.Until = f.Until.UTC().Format(stamp)
	}
	return func(yield func(hit, error) bool) {
		for page, err := range d.pages(ctx, q) {
			if err != nil {
				yield(hit{}, err)
				return
			}
			hits, err := d.readThrough(ctx, name, page)
			if err != nil {
				yield(hit{}, err)
				return
			}
			for _, h := range hits {
				if !yield(h, nil) {
					return
				}
			}
		}
	}
}

// pages yields the pages of a query.
func (d *Desk) pages(ctx context.Context, q lineage.Query) iter.Seq2[[]lineage.Record, error] {
	return func(yield func([]lineage.Record, error) bool) {
		for {
			page, err := d.store.List(ctx, q)
			if err != nil {
				yield(nil, fmt.Errorf("read review index: %w", err))
				return
			}
			if !yield(page.Records, nil) || page.Next == "" {
				return
			}
			q.Cursor = page.Next
		}
	}
}

// readThrough follows a page of pointers to the reviews, a few at a time.
func (d *Desk) readThrough(ctx context.Context, shelf string, page []lineage.Record) ([]hit, error) {
	hits := make([]hit, len(page))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i := range page {
		g.Go(func() (err error) {
			hits[i], err = d.follow(gctx, shelf, page[i].ID)
			return err
		})
	}
	return hits, g.Wait()
}

// follow reads the review behind a pointer; none is no error.
func (d *Desk) follow(ctx context.Context, shelf, id string) (hit, error) {
	p, err := readPointer(id)
	if err != nil {
		return hit{}, err
	}
	h := hit{pointer: p, shelf: shelf}
	r, err := d.Get(ctx, p.review)
	if err == nil {
		h.review = &r
	} else if !errors.Is(err, ErrNotFound) {
		return hit{}, err
	}
	if stale(shelf, p, h.review, d.now()) {
		d.remove(ctx, shelf, id)
		h.review = nil
	}
	if h.review != nil && !leads(shelf, p, h.review) {
		h.review = nil
	}
	return h, nil
}
