package review

import (
	"context"
	"fmt"
	"time"
)

// Inform adds a line to the history of a cause's newest review, open or
// resolved: what came of an action that the review led to. Its state stays as
// it is. A line with a key that was filed before is not added again. told is
// false when nothing was added; without a review of the cause nothing is.
func (d *Desk) Inform(ctx context.Context, cause, key, text string) (told bool, err error) {
	if cause == "" || key == "" || text == "" || len(key) > maxName {
		return false, fmt.Errorf("%w: a line for the history needs a cause, a key of at most %d bytes and a text", ErrSignal, maxName)
	}
	err = d.attempt(ctx, digest(cause), func(f *file) error {
		told, err = d.inform(ctx, f, key, text)
		return err
	})
	return told && err == nil, err
}

func (d *Desk) inform(ctx context.Context, f *file, key, text string) (bool, error) {
	if err := f.load(ctx, key); err != nil || f.number == 0 || f.filedIn != "" {
		return false, err
	}
	now := d.now()
	f.review.note(text, now)
	f.remember(key, now)
	return true, d.commit(ctx, f)
}

// note records news that changes no state.
func (r *Review) note(text string, now time.Time) {
	r.Advance(now)
	r.record(Transition{At: now, By: System, From: r.State, To: r.State, Why: text})
}
