package review_test

import (
	"errors"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// ticketed is a review with a ticket "T-1" at the target "pager".
func ticketed(t *testing.T, b *bench) review.Review {
	t.Helper()
	s := signal("drift", "k1", b.now)
	s.Target = "pager"
	r, _ := b.raise(t, s)
	c, err := b.ClaimTicket(t.Context(), r.ID, "pager", "p1", b.now.Add(time.Minute))
	if err == nil {
		err = b.ReleaseTicket(t.Context(), c, review.Ticket{Ref: "T-1"}, r.Rev, review.NewsOpened)
	}
	if err == nil {
		err = b.NoteRef(t.Context(), "pager", "T-1", r.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatAToolSaysReachesItsReview(t *testing.T) {
	for name, tc := range map[string]struct {
		h    review.Heard
		want review.State
		err  error
	}{
		"by key":           {review.Heard{Ref: "T-1", Verb: review.Ack, By: "ann", At: t0.Add(time.Minute)}, review.Acknowledged, nil},
		"by ref alone":     {review.Heard{Ref: "T-1", Verb: review.Resolve, At: t0.Add(time.Minute)}, review.Resolved, nil},
		"an echo":          {review.Heard{Ref: "T-1", Verb: review.Ack, At: t0.Add(-time.Minute)}, review.Open, nil},
		"the same second":  {review.Heard{Ref: "T-1", Verb: review.Ack, At: t0}, review.Acknowledged, nil},
		"another's ticket": {review.Heard{Ref: "T-2", Verb: review.Ack, At: t0.Add(time.Minute)}, review.Open, review.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			b.now = t0.Add(700 * time.Millisecond)
			r := ticketed(t, b)
			b.now = t0.Add(2 * time.Minute)
			if name != "by ref alone" {
				tc.h.Key = r.ID
			}
			_, err := b.Hear(t.Context(), "pager", tc.h)
			if got := b.stored(t, r.ID); got.State != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%s, %v; want %s, %v", got.State, err, tc.want, tc.err)
			}
		})
	}
}

func TestHearingOfTicketsThatAreNotOurs(t *testing.T) {
	b := newBench()
	r := ticketed(t, b)
	for name, h := range map[string]review.Heard{
		"unknown ref": {Ref: "T-9", Verb: review.Ack}, "nothing": {Verb: review.Ack},
		"unknown review": {Key: "aaaaaaaaaaaaaaaaaaaaaaaaaa-1", Ref: "T-1", Verb: review.Ack},
	} {
		if _, err := b.Hear(t.Context(), "pager", h); !errors.Is(err, review.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Hear(t.Context(), "other", review.Heard{Key: r.ID, Ref: "T-1", Verb: review.Ack}); !errors.Is(err, review.ErrNotFound) {
		t.Errorf("another target's word: %v", err)
	}
}

func TestACommentIsHeardOnce(t *testing.T) {
	b := newBench()
	r := ticketed(t, b)
	for _, id := range []string{"c1", "c1", "c2"} {
		if _, err := b.Hear(t.Context(), "pager", review.Heard{Key: r.ID, Ref: "T-1", Verb: review.Remark, Why: "looking", ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.stored(t, r.ID); len(got.Comments) != 2 {
		t.Errorf("%d comments", len(got.Comments))
	}
}

// A tool that was told by an escalation keeps its say when that began anew.
func TestATargetOfAnOlderEscalationIsStillHeard(t *testing.T) {
	b := newBench()
	r, _ := b.raise(t, chained("k1", b.now))
	b.wait(t, 10*time.Minute)
	c, err := b.ClaimTicket(t.Context(), r.ID, "second", "p1", b.now.Add(time.Minute))
	if err == nil {
		err = b.ReleaseTicket(t.Context(), c, review.Ticket{Ref: "S-1"}, 2, review.NewsEscalated)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, r.ID, review.Command{Verb: review.Ack, By: "ann"})
	b.do(t, r.ID, review.Command{Verb: review.Reopen, By: "ann"})
	if got, err := b.Hear(t.Context(), "second", review.Heard{Key: r.ID, Ref: "S-1", Verb: review.Resolve, At: b.now}); err != nil || got.State != review.Resolved {
		t.Errorf("%s, %v", got.State, err)
	}
}

func TestATicketIsOnePartysAtATime(t *testing.T) {
	b := newBench()
	r := ticketed(t, b)
	claim := func(holder string) (*review.TicketClaim, error) {
		return b.ClaimTicket(t.Context(), r.ID, "pager", holder, b.now.Add(time.Minute))
	}
	first, err := claim("p1")
	if err != nil || first.Ticket.Ref != "T-1" || first.Orphaned {
		t.Fatalf("%+v, %v", first, err)
	}
	for _, holder := range []string{"p2", "p1"} {
		if _, err := claim(holder); !errors.Is(err, review.ErrTicketBusy) {
			t.Errorf("%s got a ticket that is taken: %v", holder, err)
		}
	}
	b.now = b.now.Add(time.Minute)
	second, err := claim("p2")
	if err != nil || !second.Orphaned {
		t.Fatalf("after its time: %+v, %v", second, err)
	}
	if err := b.ReleaseTicket(t.Context(), first, review.Ticket{Ref: "T-old"}, 9, 0); err == nil {
		t.Error("who lost the ticket wrote over it")
	}
	if err := b.ReleaseTicket(t.Context(), second, second.Ticket, 9, 0); err != nil {
		t.Fatal(err)
	}
	if third, err := claim("p1"); err != nil || third.Orphaned || third.Ticket.Ref != "T-1" {
		t.Errorf("given back: %+v, %v", third, err)
	}
}

func TestAnIDThatIsUsedAgainLeadsToTheNewerReview(t *testing.T) {
	b := newBench()
	r := ticketed(t, b)
	b.do(t, r.ID, review.Command{Verb: review.Resolve, By: "ann"})
	b.now = b.now.Add(time.Minute)
	s := signal("drift", "k2", b.now)
	s.Target = "pager"
	next, _ := b.raise(t, s)
	c, err := b.ClaimTicket(t.Context(), next.ID, "pager", "p1", b.now.Add(time.Minute))
	if err == nil {
		err = errors.Join(b.ReleaseTicket(t.Context(), c, review.Ticket{Ref: "T-1"}, 1, review.NewsOpened), b.NoteRef(t.Context(), "pager", "T-1", next.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Hear(t.Context(), "pager", review.Heard{Ref: "T-1", Verb: review.Ack, At: b.now}); err != nil || got.ID != next.ID {
		t.Errorf("heard of %s, %v", got.ID, err)
	}
}

// What nobody was told of is no ticket to show, what could not be told is.
func TestTicketsThatAreShown(t *testing.T) {
	b := newBench()
	s := signal("drift", "k1", b.now)
	s.Target = "pager"
	r, _ := b.raise(t, s)
	for _, tc := range []struct {
		ticket review.Ticket
		want   int
	}{
		{review.Ticket{}, 0}, {review.Ticket{Ref: "7"}, 0}, {review.Ticket{State: review.Resolved}, 0},
		{review.Ticket{Ref: "7", State: review.Open}, 1}, {review.Ticket{Failed: "no answer"}, 1},
	} {
		c, err := b.ClaimTicket(t.Context(), r.ID, "pager", "p1", b.now.Add(time.Minute))
		if err == nil {
			err = b.ReleaseTicket(t.Context(), c, tc.ticket, 1, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Tickets(t.Context(), r); err != nil || len(got) != tc.want {
			t.Errorf("%+v: %d shown, want %d: %v", tc.ticket, len(got), tc.want, err)
		}
	}
}
