package web_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// silencingDesk is a desk whose silences are kept in a list, and which notes
// the commands that it is given.
type silencingDesk struct {
	*review.Desk
	now func() time.Time

	mu       sync.Mutex
	silences []review.Silence
	commands []review.Command
}

// Do reopens by itself and leaves every other verb to the desk.
func (d *silencingDesk) Do(ctx context.Context, id string, c review.Command) (review.Review, error) {
	d.mu.Lock()
	d.commands = append(d.commands, c)
	d.mu.Unlock()
	if c.Verb != review.Reopen {
		return d.Desk.Do(ctx, id, c)
	}
	r, err := d.Get(ctx, id)
	if err == nil && r.State != review.Resolved {
		return r, &review.TransitionError{ID: id, From: r.State, Verb: c.Verb}
	}
	r.State = review.Open
	return r, err
}

// Silence keeps a silence.
func (d *silencingDesk) Silence(_ context.Context, s review.Silence) (review.Silence, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if s.From.IsZero() {
		s.From = now
	}
	if s.Why == "" || !s.Until.After(s.From) {
		return s, &review.CommandError{Field: "until", Problem: "a silence needs an end that is later than its beginning and than now"}
	}
	s.ID, s.Created = fmt.Sprintf("s%d", len(d.silences)+1), now
	d.silences = append(d.silences, s)
	return s, nil
}

func (d *silencingDesk) find(id string) (*review.Silence, error) {
	for i := range d.silences {
		if d.silences[i].ID == id {
			return &d.silences[i], nil
		}
	}
	return nil, review.ErrNotFound
}

// read fails when the store does.
func (d *silencingDesk) read(ctx context.Context) error {
	_, _, err := d.List(ctx, review.Filter{}, "", 1)
	return err
}

// EndSilence ends one that has not ended.
func (d *silencingDesk) EndSilence(_ context.Context, id, by string) (review.Silence, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(id)
	if err != nil {
		return review.Silence{}, err
	}
	if by == "" {
		return *s, &review.CommandError{Field: "by", Problem: "say who does this"}
	}
	if s.State(d.now()) != review.SilenceExpired {
		s.Ended, s.EndedBy = d.now(), by
	}
	return *s, nil
}

// GetSilence finds one.
func (d *silencingDesk) GetSilence(ctx context.Context, id string) (review.Silence, error) {
	if err := d.read(ctx); err != nil {
		return review.Silence{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(id)
	if err != nil {
		return review.Silence{}, err
	}
	return *s, nil
}

// Silences lists them, the newest first; its cursor is a number.
func (d *silencingDesk) Silences(ctx context.Context, state, cursor string, limit int) ([]review.Silence, string, error) {
	if err := d.read(ctx); err != nil {
		return nil, "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	from := 0
	if cursor != "" {
		var err error
		if from, err = strconv.Atoi(cursor); err != nil {
			return nil, "", review.ErrCursor
		}
	}
	var all []review.Silence
	for _, s := range slices.Backward(d.silences) {
		if state == "" || s.State(d.now()) == state {
			all = append(all, s)
		}
	}
	end := min(from+limit, len(all))
	next := ""
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[min(from, end):end], next, nil
}

// orderBook notes what was asked for from reviews.
type orderBook struct {
	placed []string
	err    error
}

// Place notes an order.
func (o *orderBook) Place(_ context.Context, r review.Review, t policy.ActionType, target, by, why string) (policy.Action, error) {
	if o.err != nil {
		return policy.Action{}, o.err
	}
	o.placed = append(o.placed, fmt.Sprintf("%s|%s|%s|%s|%s", r.ID, t, target, by, why))
	return policy.Action{ID: "k@" + monitorID, Key: "k", Type: t, Target: target, Policy: policy.Manual, State: policy.Pending}, nil
}
