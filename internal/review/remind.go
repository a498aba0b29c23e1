package review

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// early is by how much a reminder may come before its time: clocks differ.
const early = time.Minute

// silencePrefix begins the ids of reminders about silences.
const silencePrefix = "silence:"

// Remind makes what time brought take effect on the review or silence that Later
// was given the id of. An id that names nothing, any more or yet, is none of its
// business. Calling it at any time, and often, is harmless.
func (d *Desk) Remind(ctx context.Context, id string) error {
	if silence, is := strings.CutPrefix(id, silencePrefix); is {
		return d.spread(ctx, silence)
	}
	digest, n, err := splitID(id)
	if err != nil {
		return nil
	}
	err = d.attempt(ctx, digest, func(f *file) error { return d.tick(ctx, f, n) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (d *Desk) tick(ctx context.Context, f *file, n int) error {
	if err := f.loadNumber(ctx, n); err != nil {
		return err
	}
	now := d.now()
	if err := d.hushed(ctx, f, now); err != nil {
		return err
	}
	if f.review.Advance(now) || f.review.Silence != f.was.Silence {
		return d.commit(ctx, f)
	}
	if due := f.review.Due(); d.Later != nil && !due.IsZero() && due.Sub(now) < early {
		return d.Later(ctx, f.review.ID, putOff(due, now))
	}
	return nil
}

// remind arranges, before a change is committed, that somebody looks when time
// next changes the review: a process that dies right after the commit leaves no
// deadline unwatched.
func (d *Desk) remind(ctx context.Context, f *file) error {
	due := f.review.Due()
	if d.Later == nil || due.IsZero() || due.Equal(f.was.Due()) {
		return nil
	}
	looks := []time.Time{due}
	if surely := d.now().Add(announceAhead); due.Before(surely) {
		// The first look may come before the commit, and see nothing.
		looks = append(looks, surely)
	}
	for _, at := range looks {
		if err := d.Later(ctx, f.review.ID, at); err != nil {
			return fmt.Errorf("arrange a look at review %s: %w", f.review.ID, err)
		}
	}
	return nil
}

// putOff is when a reminder that came before its time is to come again: later by
// as much as the clocks seem to differ. It is not the same time again, which
// queues would take for a repeat of the first reminder and drop.
func putOff(due, now time.Time) time.Time { return due.Add(due.Sub(now)) }

// hushed lets the silences that hold now take effect on the file's review,
// before time does.
func (d *Desk) hushed(ctx context.Context, f *file, now time.Time) error {
	silences, err := d.silencesAt(ctx, now)
	if err == nil {
		f.review.quiet(silences, now)
	}
	return err
}

// quiet silences the review if one of the silences matches it: the one that
// lasts longest.
func (r *Review) quiet(silences []Silence, now time.Time) {
	var longest *Silence
	for i := range silences {
		s := &silences[i]
		if s.State(now) == SilenceActive && s.Match.Matches(r) && (longest == nil || s.Until.After(longest.Until)) {
			longest = s
		}
	}
	if longest != nil {
		r.hush(*longest, now)
	}
}

// spread makes a silence, or its end, take effect on the reviews that are there
// already.
func (d *Desk) spread(ctx context.Context, id string) error {
	s, err := d.GetSilence(ctx, id)
	if errors.Is(err, lineage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if now := d.now(); d.Later != nil && s.State(now) == SilencePending && s.From.Sub(now) < early {
		return d.Later(ctx, silencePrefix+id, putOff(s.From, now))
	}
	for h, err := range d.hits(ctx, &Filter{Unresolved: true}, position{}) {
		if err != nil {
			return err
		}
		if h.review == nil || !d.concerns(&s, h.review) {
			continue
		}
		if err := d.spreadTo(ctx, &s, h.review.ID); err != nil {
			return err
		}
	}
	return nil
}

// concerns says whether a silence has still to take effect on a review.
func (d *Desk) concerns(s *Silence, r *Review) bool {
	holds := r.Silence != nil && r.Silence.ID == s.ID
	switch s.State(d.now()) {
	case SilenceActive:
		return !holds && s.Match.Matches(r)
	case SilenceExpired:
		return holds
	}
	return false
}

func (d *Desk) spreadTo(ctx context.Context, s *Silence, id string) error {
	digest, n, err := splitID(id)
	if err != nil {
		return err
	}
	return d.attempt(ctx, digest, func(f *file) error {
		if err := f.loadNumber(ctx, n); err != nil || !d.concerns(s, &f.review) {
			return err
		}
		now := d.now()
		if s.EndedBy != "" && now.Before(f.review.Silence.Until) {
			f.review.lift(now, "the silence was ended by "+s.EndedBy)
		}
		if err := d.hushed(ctx, f, now); err != nil {
			return err
		}
		if !f.review.Advance(now) && f.review.Silence == f.was.Silence {
			return nil
		}
		return d.commit(ctx, f)
	})
}
