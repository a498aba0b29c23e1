package review

import (
	"context"
	"errors"
	"time"
)

// joinedTo is the review that the signals of the file's cause go on in; nil
// where they go on in its own.
func (d *Desk) joinedTo(ctx context.Context, f *file) (*joined, error) {
	if f.head.Joined == nil {
		return nil, nil
	}
	into, err := d.Get(ctx, f.head.Joined.Review)
	if errors.Is(err, ErrNotFound) || err == nil && into.State == Resolved {
		return nil, nil
	}
	return f.head.Joined, err
}

// filedAway is the review that a key of the file's cause was filed in while its
// signals went on there; the zero Review for one that was not.
func (d *Desk) filedAway(ctx context.Context, f *file, key string) (Review, error) {
	if f.head.Joined == nil {
		return Review{}, nil
	}
	other := newFile(d.store, digest(f.head.Joined.Cause))
	if err := other.load(ctx, key); err != nil || other.filedIn == "" {
		return Review{}, err
	}
	return d.Get(ctx, other.filedIn)
}

// join makes the signals of a cause go on in another review, and resolves the
// cause's own, which thereby is one too many. A pass of the cause that came
// before its signal did, or before the two were joined, counts in the other.
func (d *Desk) join(ctx context.Context, cause string, into *Review) error {
	if into.State == Resolved || digest(cause) == digest(into.Cause) {
		return nil
	}
	var passed Passing
	err := d.attempt(ctx, digest(cause), func(f *file) error {
		if err := f.load(ctx); err != nil {
			return err
		}
		passed = f.head.Pass
		known := f.head.Joined != nil && f.head.Joined.Review == into.ID
		if known && !f.isOpen() {
			return nil
		}
		f.head.Cause, f.head.Joined = clip(cause, maxText), &joined{Review: into.ID, Cause: into.Cause}
		f.writeHead()
		if !f.isOpen() {
			return f.commitHead(ctx)
		}
		f.review.absorbed(into.ID, d.now())
		return d.commit(ctx, f)
	})
	if err != nil || passed.At.IsZero() {
		return err
	}
	return d.attempt(ctx, digest(into.Cause), func(f *file) error {
		_, err := d.passPart(ctx, f, cause, passed)
		return err
	})
}

// absorbed resolves the review because its signals go on in another.
func (r *Review) absorbed(into string, now time.Time) {
	why := "one of several of the same cause: it goes on in review " + into
	if r.Advance(now); r.State == Resolved {
		r.Joined = into
		return
	}
	r.enter(Resolved, Transition{At: now, By: System, Why: why})
	r.Joined, r.ResolvedAt, r.Resolution = into, now, &Resolution{By: System, Cause: why, Auto: true}
}

// Gather puts further causes into the review of the cause that they have in
// common, if it is not resolved. Gathering again changes nothing.
func (d *Desk) Gather(ctx context.Context, cause string, parts []Part) error {
	var into Review
	err := d.attempt(ctx, digest(cause), func(f *file) error {
		if err := f.load(ctx); err != nil || !f.isOpen() {
			return err
		}
		known := len(f.review.Parts) + f.review.PartsDropped
		for _, p := range parts {
			// One that finds no room is counted once, not on every gathering.
			full := len(f.review.Parts) == MaxParts && f.review.PartsDropped > 0
			if !full && !f.review.hasPart(p.Cause) {
				f.review.partSignalled(Signal{Part: p.Cause, Model: p.Model, At: p.LastSignal})
			}
		}
		into = f.review
		if len(f.review.Parts)+f.review.PartsDropped == known {
			return nil
		}
		return d.commit(ctx, f)
	})
	if err != nil || into.ID == "" {
		return err
	}
	for _, p := range parts {
		if err := d.join(ctx, p.Cause, &into); err != nil {
			return err
		}
	}
	return nil
}

// passPart notes in the file's review that one of its causes passed.
func (d *Desk) passPart(ctx context.Context, f *file, cause string, p Passing) (Review, error) {
	if err := f.load(ctx); err != nil || !f.isOpen() {
		return Review{}, err
	}
	own, news := f.review.partPassed(cause, p)
	if !news {
		return Review{}, nil
	}
	f.review.pass(own, d.rules(), d.now())
	if err := d.commit(ctx, f); err != nil {
		return Review{}, err
	}
	return f.review, nil
}
