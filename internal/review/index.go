package review

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Partitions of the index. A pointer is an immutable record without a body,
// whose id is "<time opened>~<review id>"; the review's own record is the
// truth. Pointers are written before the review, so a crash leaves at most a
// pointer to nothing, which readers pass over and later remove.
const (
	monthsPartition = "index/reviews"
	openShelf       = "open"
	// stamp sorts as text in the order of time.
	stamp      = "2006-01-02T15:04:05.000000000Z"
	monthStamp = "2006-01"
	// writeGrace is how long a pointer without a review may still be one
	// whose review is about to be written.
	writeGrace = 24 * time.Hour
)

func shelfPartition(shelf string) string { return monthsPartition + "/" + shelf }

func monthOf(t time.Time) string { return t.UTC().Format(monthStamp) }

// pointerID is where a review stands on its shelves.
func pointerID(opened time.Time, id string) string {
	return opened.UTC().Format(stamp) + "~" + id
}

// pointer is a read pointerID.
type pointer struct {
	id     string
	opened time.Time
	review string
}

func readPointer(id string) (pointer, error) {
	at, review, ok := strings.Cut(id, "~")
	opened, err := time.Parse(stamp, at)
	if !ok || err != nil {
		return pointer{}, fmt.Errorf("review index: pointer %q is damaged", clip(id, 80))
	}
	return pointer{id: id, opened: opened, review: review}, nil
}

// knownMonths remembers which months this process has put in the directory.
type knownMonths struct {
	mu     sync.Mutex
	latest map[string]bool
}

func (k *knownMonths) has(month string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.latest[month]
}

// add forgets the other months: only the current one is ever written.
func (k *knownMonths) add(month string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.latest = map[string]bool{month: true}
}

// index puts a review that is about to be written on its shelves.
func (d *Desk) index(ctx context.Context, r *Review) error {
	month := monthOf(r.Opened)
	if !d.known.has(month) {
		if err := d.place(ctx, monthsPartition, month); err != nil {
			return err
		}
		d.known.add(month)
	}
	if err := d.place(ctx, shelfPartition(month), pointerID(r.Opened, r.ID)); err != nil {
		return err
	}
	return d.indexOpen(ctx, r)
}

// indexOpen puts a review that is about to be unresolved on the open shelf. It
// stands there by the time since when it is: whoever takes it off late, for the
// time before, takes nothing else off.
func (d *Desk) indexOpen(ctx context.Context, r *Review) error {
	return d.place(ctx, shelfPartition(openShelf), pointerID(r.shelved(), r.ID))
}

func (r *Review) shelved() time.Time {
	if r.Unresolved.IsZero() {
		return r.Opened
	}
	return r.Unresolved
}

// place creates an index record; one that is there already is as good.
func (d *Desk) place(ctx context.Context, partition, id string) error {
	_, err := d.store.Commit(ctx, partition, []lineage.Change{
		{Op: lineage.Create, Record: lineage.Record{ID: id}},
	})
	if err != nil && !errors.Is(err, lineage.ErrExists) {
		return fmt.Errorf("write review index: %w", err)
	}
	return nil
}

// takeOffOpen removes a resolved review from the open shelf. What fails here
// a later reader of the shelf makes good.
func (d *Desk) takeOffOpen(ctx context.Context, r *Review) {
	d.remove(ctx, openShelf, pointerID(r.shelved(), r.ID))
}

func (d *Desk) remove(ctx context.Context, shelf, id string) {
	_, _ = d.store.Commit(ctx, shelfPartition(shelf), []lineage.Change{
		{Op: lineage.Delete, Record: lineage.Record{ID: id}},
	})
}

// stale reports whether a pointer on a shelf will never again lead to a
// review that belongs there.
func stale(shelf string, p pointer, r *Review, now time.Time) bool {
	if r == nil {
		return now.Sub(p.opened) > writeGrace
	}
	if shelf != openShelf {
		return !r.Opened.Equal(p.opened)
	}
	if p.opened.After(r.shelved()) {
		return now.Sub(p.opened) > writeGrace // about to be reopened, perhaps
	}
	return r.State == Resolved || p.opened.Before(r.shelved())
}

// leads says whether a pointer on a shelf is the one that leads to a review.
func leads(shelf string, p pointer, r *Review) bool {
	return shelf != openShelf || r.shelved().Equal(p.opened)
}
