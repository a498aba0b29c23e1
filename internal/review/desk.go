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
	// News is what the change brought; none when it is not worth telling.
	News News
	// CallAt is when whoever is to be told of it is: at once, unless it is in
	// the future.
	CallAt time.Time
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

	// Later, if set before first use, makes Remind be called with an id, not
	// before a time, by whatever process then runs; more than once is harmless.
	// Without it time takes effect when somebody looks.
	Later func(ctx context.Context, id string, at time.Time) error
	// Rules, if set before first use, are those in force. Defaults to none.
	Rules func() Rules
	// Standing, if set before first use, are the silences that are planned in
	// the configuration and hold at a time.
	Standing func(now time.Time) []Silence

	store lineage.Store
	now   func() time.Time
	lanes lanes
	known knownMonths
	hands hands
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

// Raise files a signal: into the review of its cause that is not resolved, or
// that was reopened for it, or into a new one. created tells whether it is new.
// A key that was filed before changes nothing and gives the review that it was
// filed in. A signal from before a pass that is already known (they arrived in
// the wrong order) is filed and resolved at once. A signal with a Part is filed
// under what several causes have in common, and so are later ones of that part.
// The error wraps ErrSignal when no retry helps.
func (d *Desk) Raise(ctx context.Context, s Signal) (r Review, created bool, err error) {
	if err := s.check(); err != nil {
		return Review{}, false, fmt.Errorf("%w: %w", ErrSignal, err)
	}
	var elsewhere *joined
	err = d.attempt(ctx, digest(s.Cause), func(f *file) error {
		r, created, elsewhere, err = d.raise(ctx, f, s)
		return err
	})
	if err == nil && elsewhere != nil {
		s.Part, s.Cause = s.Cause, elsewhere.Cause
		return d.Raise(ctx, s)
	}
	if err == nil && s.Part != "" {
		err = d.join(ctx, s.Part, &r)
	}
	return r, created && err == nil, err
}

func (d *Desk) raise(ctx context.Context, f *file, s Signal) (r Review, created bool, elsewhere *joined, err error) {
	if err := f.load(ctx, s.Key); err != nil {
		return Review{}, false, nil, err
	}
	if f.filedIn != "" {
		r, err := d.Get(ctx, f.filedIn)
		return r, false, nil, err
	}
	if s.Part == "" {
		if into, err := d.joinedTo(ctx, f); into != nil || err != nil {
			return Review{}, false, into, err
		}
	}
	now := d.now()
	if created, err = d.receive(ctx, f, s, now); err != nil {
		return Review{}, false, nil, err
	}
	f.review.pass(f.head.Pass, d.rules(), now)
	f.remember(s.Key, now)
	if err := d.commit(ctx, f); err != nil {
		return Review{}, false, nil, err
	}
	return f.review, created, nil, nil
}

// receive puts a signal into the file's review, a reopened or a new one.
func (d *Desk) receive(ctx context.Context, f *file, s Signal, now time.Time) (created bool, err error) {
	silences, err := d.silencesAt(ctx, now)
	if err != nil {
		return false, err
	}
	switch {
	case f.isOpen():
		f.review.quiet(silences, now)
		f.review.Advance(now)
	case f.number > 0 && f.review.comesBack(s, d.rules(), now):
		f.review.reopen(now)
		err = d.indexOpen(ctx, &f.review)
	}
	if err != nil {
		return false, err
	}
	if created = !f.isOpen(); created {
		f.startReview(s, now)
		if err := d.index(ctx, &f.review); err != nil {
			return false, err
		}
	} else {
		f.review.merge(s, now)
	}
	f.review.quiet(silences, now)
	return created, nil
}

func (d *Desk) rules() Rules {
	if d.Rules == nil {
		return Rules{}
	}
	return d.Rules()
}

// Pass notes that the cause passed, and resolves its review if that one's last
// signal is older and of another window; a review of several causes, when the
// last of them passed. resolved tells whether it did; without a review that is
// not resolved nothing happens, except that a signal which arrives late is
// recognised as past. Calling it again, with the same time or an older one,
// changes nothing.
func (d *Desk) Pass(ctx context.Context, cause string, p Passing) (r Review, resolved bool, err error) {
	if cause == "" || p.At.IsZero() {
		return Review{}, false, fmt.Errorf("%w: pass %s: it has no cause or no time", ErrSignal, p.Key)
	}
	p.At, p.Text, p.Window = p.At.UTC(), clip(p.Text, maxText), clip(p.Window, maxText)
	var elsewhere *joined
	err = d.attempt(ctx, digest(cause), func(f *file) error {
		r, elsewhere, err = d.pass(ctx, f, cause, p)
		return err
	})
	if err == nil && elsewhere != nil {
		err = d.attempt(ctx, digest(elsewhere.Cause), func(f *file) error {
			r, err = d.passPart(ctx, f, cause, p)
			return err
		})
	}
	resolved = err == nil && r.Resolution != nil && r.Resolution.Key == p.Key && r.Resolution.Auto
	return r, resolved, err
}

func (d *Desk) pass(ctx context.Context, f *file, cause string, p Passing) (Review, *joined, error) {
	if err := f.load(ctx); err != nil {
		return Review{}, nil, err
	}
	into, err := d.joinedTo(ctx, f)
	if err != nil {
		return Review{}, nil, err
	}
	changed := f.isOpen() && f.review.pass(p, d.rules(), d.now())
	if !f.notePass(cause, p, d.now()) && !changed {
		return Review{}, into, nil
	}
	commit := f.commit
	if changed {
		commit = func(ctx context.Context) error { return d.commit(ctx, f) }
	}
	if err := commit(ctx); err != nil || !changed {
		return Review{}, into, err
	}
	return f.review, into, nil
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
	if err := f.load(ctx); err != nil {
		return Review{}, err
	}
	if n != f.number {
		if err := f.loadNumber(ctx, n); err != nil {
			return Review{}, err
		}
	}
	if c.Version != "" && c.Version != f.review.Version {
		return Review{}, fmt.Errorf("%w: %s", ErrStale, f.review.ID)
	}
	if c.Verb == Reopen {
		if err := d.mayReopen(ctx, f); err != nil {
			return Review{}, err
		}
	}
	now := d.now()
	if err := d.hushed(ctx, f, now); err != nil {
		return Review{}, err
	}
	changed, err := f.review.Apply(c, now)
	if err != nil || !changed {
		return f.review, err
	}
	if f.was.State == Resolved && f.review.State != Resolved {
		if err := d.indexOpen(ctx, &f.review); err != nil {
			return Review{}, err
		}
	}
	if err := d.commit(ctx, f); err != nil {
		return Review{}, err
	}
	return f.review, nil
}

// mayReopen refuses what would make two reviews of one cause that are not
// resolved: an older one of the cause, or one whose signals go on elsewhere.
func (d *Desk) mayReopen(ctx context.Context, f *file) error {
	if f.review.State != Resolved {
		return nil
	}
	if f.review.ID != newID(f.digest, f.head.Number) {
		return &TransitionError{ID: f.review.ID, From: Resolved, Verb: Reopen, Why: "its cause has a newer review, " + newID(f.digest, f.head.Number)}
	}
	into, err := d.joinedTo(ctx, f)
	if err == nil && into != nil {
		err = &TransitionError{ID: f.review.ID, From: Resolved, Verb: Reopen, Why: "its signals go on in review " + into.Review}
	}
	return err
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

// quietUpdates is how long a change that nobody needs to hear of at once waits
// for others of its kind.
func (d *Desk) quietUpdates() time.Duration {
	if every := d.rules().UpdateEvery; every > 0 {
		return every
	}
	return 5 * time.Minute
}

// commit writes a change of the file's review, with what goes alongside.
func (d *Desk) commit(ctx context.Context, f *file) error {
	r := &f.review
	r.Rev = f.was.Rev + 1
	c := Change{From: f.was.State, News: newsBetween(&f.was, r), CallAt: r.CallsFrom}
	if c.News == NewsCounted {
		c.News, c.CallAt = d.bundle(r)
	}
	c.Review = *r
	if err := d.remind(ctx, f); err != nil {
		return err
	}
	committed := func(context.Context) {}
	if d.Alongside != nil {
		extra, then, err := d.Alongside(ctx, f.partition(), c)
		if err != nil {
			return fmt.Errorf("what goes along with review %s: %w", r.ID, err)
		}
		f.pending, committed = append(f.pending, extra...), then
	}
	if err := f.commit(ctx); err != nil {
		return err
	}
	c.Review = *r
	d.changed(ctx, c)
	committed(ctx)
	return nil
}

// bundle makes one telling of the small news of a while.
func (d *Desk) bundle(r *Review) (News, time.Time) {
	now := d.now()
	if now.Before(r.NextUpdate) {
		return 0, time.Time{}
	}
	r.NextUpdate = now.Add(d.quietUpdates())
	return NewsCounted, r.NextUpdate
}

// remind arranges, before a change is committed, that somebody looks when time
// next changes the review: a process that dies right after the commit leaves no
// deadline unwatched.
func (d *Desk) remind(ctx context.Context, f *file) error {
	due := f.review.Due()
	if d.Later == nil || due.IsZero() || due.Equal(f.was.Due()) {
		return nil
	}
	if err := d.Later(ctx, f.review.ID, due); err != nil {
		return fmt.Errorf("arrange a look at review %s: %w", f.review.ID, err)
	}
	return nil
}

// changed tidies up after a commit and tells the hook.
func (d *Desk) changed(ctx context.Context, c Change) {
	if c.Review.State == Resolved && c.From != Resolved {
		d.takeOffOpen(ctx, &c.Review)
	}
	if d.OnChange != nil {
		d.OnChange(ctx, c)
	}
}
