package review

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Errors of a Desk, besides *CommandError, *TransitionError and faults of the
// Store.
var (
	// ErrNotFound means that no review has this id.
	ErrNotFound = fmt.Errorf("review: %w", lineage.ErrNotFound)
	// ErrStale means that the review changed since the version that a
	// command named: read it again, decide again.
	ErrStale = errors.New("review changed since it was read")
	// ErrSignal means that a signal can never be filed as it is.
	ErrSignal = errors.New("review signal refused")
)

// maxTries bounds how often one call starts over because another process was
// faster on the same cause.
const maxTries = 32

// Change is one committed change of a review.
type Change struct {
	Review Review
	// From is the state before; "" when the change opened the review.
	From State
}

// Desk files signals into reviews and carries out on-call's commands. It is
// safe for concurrent use, by any number of processes over one Store.
type Desk struct {
	// OnChange, if set before first use, is told of every change that this
	// process committed, after the commit. It must not block.
	OnChange func(context.Context, Change)
	// Alongside, if set before first use, is asked before a change is
	// committed what to write into the same partition in the same commit.
	// committed is called once that commit went through. An error fails the
	// call before anything is written.
	Alongside func(ctx context.Context, partition string, c Change) (extra []lineage.Change, committed func(context.Context), err error)

	store lineage.Store
	now   func() time.Time
	lanes lanes
	known knownMonths
}

// AckDelay is how long the review had waited when this change acknowledged
// it; ok is false for every other change.
func (c *Change) AckDelay() (d time.Duration, ok bool) {
	if c.Review.State != Acknowledged || c.From == Acknowledged {
		return 0, false
	}
	return c.Review.AckedAt.Sub(c.Review.OpenSince), true
}

// NewDesk makes a desk over a store; now is the clock.
func NewDesk(store lineage.Store, now func() time.Time) *Desk {
	utc := func() time.Time { return now().Round(0).UTC() }
	return &Desk{store: store, now: utc, lanes: newLanes()}
}

// Raise files a signal: into the open review of its cause, or into a new one
// where there is none. created tells which. A key that was filed before
// changes nothing and gives the review that it was filed in. A signal from
// before a pass that is already known (they arrived in the wrong order) is
// filed and resolved at once. The error wraps ErrSignal when no retry helps.
func (d *Desk) Raise(ctx context.Context, s Signal) (r Review, created bool, err error) {
	if err := s.check(); err != nil {
		return Review{}, false, fmt.Errorf("%w: %w", ErrSignal, err)
	}
	err = d.attempt(ctx, digest(s.Cause), func(f *file) error {
		r, created, err = d.raise(ctx, f, s)
		return err
	})
	return r, created && err == nil, err
}

func (d *Desk) raise(ctx context.Context, f *file, s Signal) (Review, bool, error) {
	if err := f.load(ctx, s.Key); err != nil {
		return Review{}, false, err
	}
	if f.filedIn != "" {
		r, err := d.Get(ctx, f.filedIn)
		return r, false, err
	}
	now, before, created := d.now(), f.review, !f.isOpen()
	if created {
		f.startReview(s, now)
		if err := d.index(ctx, &f.review); err != nil {
			return Review{}, false, err
		}
	} else {
		f.review.merge(s, now)
	}
	f.review.pass(f.head.Pass, now)
	f.remember(s.Key, now)
	from := before.State
	if created {
		from = ""
	}
	if err := d.commit(ctx, f, from); err != nil {
		return Review{}, false, err
	}
	return f.review, created, nil
}

// Pass notes that the cause passed, and resolves its open review if that one's
// last signal is older and of another window. resolved tells whether it did;
// without an open review nothing happens, except that a signal which arrives
// late is recognised as past. Calling it again, with the same time or an older
// one, changes nothing.
func (d *Desk) Pass(ctx context.Context, cause string, p Passing) (r Review, resolved bool, err error) {
	if cause == "" || p.At.IsZero() {
		return Review{}, false, fmt.Errorf("%w: pass %s: it has no cause or no time", ErrSignal, p.Key)
	}
	p.At, p.Text, p.Window = p.At.UTC(), clip(p.Text, maxText), clip(p.Window, maxText)
	err = d.attempt(ctx, digest(cause), func(f *file) error {
		r, resolved, err = d.pass(ctx, f, cause, p)
		return err
	})
	return r, resolved && err == nil, err
}

func (d *Desk) pass(ctx context.Context, f *file, cause string, p Passing) (Review, bool, error) {
	if err := f.load(ctx); err != nil {
		return Review{}, false, err
	}
	now, before := d.now(), f.review
	resolved := f.isOpen() && f.review.pass(p, now)
	if !f.notePass(cause, p, now) && !resolved {
		return f.review, false, nil
	}
	commit := func() error { return f.commit(ctx) }
	if resolved {
		commit = func() error { return d.commit(ctx, f, before.State) }
	}
	if err := commit(); err != nil {
		return Review{}, false, err
	}
	return f.review, resolved, nil
}

// Do carries a command out on the review with this id and returns the review
// as it is then. A command that changes nothing (a second ack) is no error.
func (d *Desk) Do(ctx context.Context, id string, c Command) (r Review, err error) {
	digest, n, err := splitID(id)
	if err != nil {
		return Review{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	err = d.attempt(ctx, digest, func(f *file) error {
		r, err = d.do(ctx, f, n, c)
		return err
	})
	return r, err
}

func (d *Desk) do(ctx context.Context, f *file, n int, c Command) (Review, error) {
	if err := f.loadNumber(ctx, n); err != nil {
		return Review{}, err
	}
	if c.Version != "" && c.Version != f.review.Version {
		return Review{}, fmt.Errorf("%w: %s", ErrStale, f.review.ID)
	}
	from := f.review.State
	changed, err := f.review.Apply(c, d.now())
	if err != nil || !changed {
		return f.review, err
	}
	if err := d.commit(ctx, f, from); err != nil {
		return Review{}, err
	}
	return f.review, nil
}

// Get returns the review with this id as it is now, or ErrNotFound.
func (d *Desk) Get(ctx context.Context, id string) (Review, error) {
	digest, n, err := splitID(id)
	if err != nil {
		return Review{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	f := newFile(d.store, digest)
	if err := f.loadNumber(ctx, n); err != nil {
		return Review{}, err
	}
	f.review.Advance(d.now())
	return f.review, nil
}

// attempt runs one read-change-commit until no other writer gets between.
// Writers of this process take turns on a cause, so conflicts only come from
// other processes.
func (d *Desk) attempt(ctx context.Context, digest string, once func(*file) error) error {
	leave, err := d.lanes.enter(ctx, digest)
	if err != nil {
		return err
	}
	defer leave()
	for range maxTries {
		err = once(newFile(d.store, digest))
		if !errors.Is(err, lineage.ErrConflict) && !errors.Is(err, lineage.ErrExists) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("review of one cause contended by others, gave up after %d tries: %w", maxTries, err)
}

// commit writes a change of the file's review, with what goes alongside.
func (d *Desk) commit(ctx context.Context, f *file, from State) error {
	committed := func(context.Context) {}
	if d.Alongside != nil {
		extra, then, err := d.Alongside(ctx, f.partition(), Change{Review: f.review, From: from})
		if err != nil {
			return fmt.Errorf("what goes along with review %s: %w", f.review.ID, err)
		}
		f.pending, committed = append(f.pending, extra...), then
	}
	if err := f.commit(ctx); err != nil {
		return err
	}
	d.changed(ctx, from, f.review)
	committed(ctx)
	return nil
}

// changed tidies up after a commit and tells the hook.
func (d *Desk) changed(ctx context.Context, from State, r Review) {
	if r.State == Resolved && from != Resolved {
		d.takeOffOpen(ctx, &r)
	}
	if d.OnChange != nil {
		d.OnChange(ctx, Change{Review: r, From: from})
	}
}
