package effect

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func TestLoudNewsIsToldOnce(t *testing.T) {
	r := newRound(t)
	r.raise("k1", review.Warning)
	r.told(0)
	r.told(0)
	r.raise("k2", review.Critical)
	r.told(1)
	r.told(1)
	r.told(0) // a retry that comes late
	if len(r.tool.calls) != 2 || r.tool.loud != 2 {
		t.Errorf("%d calls, %d of them loud; want 2", len(r.tool.calls), r.tool.loud)
	}
}

func TestOneCallIsEnoughForAllThatItShows(t *testing.T) {
	r := newRound(t)
	r.raise("k1", review.Warning)
	r.raise("k2", review.Critical)
	r.told(0)
	r.told(1)
	if r.tool.loud != 1 {
		t.Errorf("called %d times with the same card", r.tool.loud)
	}
}

func TestSmallNewsGoesAlong(t *testing.T) {
	r := newRound(t)
	rv := r.raise("k1", review.Warning)
	r.told(0)
	r.do(rv.ID, review.Remark)
	r.do(rv.ID, review.Ack)
	r.told(2)
	r.told(1) // was shown by the one before
	if n := len(r.tool.calls); n != 2 || r.ticket(rv.ID).State != review.Acknowledged {
		t.Errorf("%d calls, the ticket is %s", n, r.ticket(rv.ID).State)
	}
}

func TestNobodyIsCalledForWhatIsInHand(t *testing.T) {
	for _, verb := range []review.Verb{review.Ack, review.Resolve} {
		r := newRound(t)
		rv := r.raise("k1", review.Warning)
		r.do(rv.ID, verb)
		r.told(0)
		r.told(1)
		if len(r.tool.calls) != 0 {
			t.Errorf("after %s: %d calls", verb, len(r.tool.calls))
		}
	}
}

// The call was put off until somebody had the review in hand.
func TestALateCallMakesNoNoise(t *testing.T) {
	r := newRound(t)
	rv := r.raise("k1", review.Warning)
	r.told(0)
	r.raise("k2", review.Critical)
	r.do(rv.ID, review.Ack)
	r.told(1)
	if len(r.tool.calls) != 2 || r.tool.loud != 1 {
		t.Errorf("%d calls, %d of them loud", len(r.tool.calls), r.tool.loud)
	}
}

func TestASilencedReviewCallsNobody(t *testing.T) {
	r := newRound(t)
	until := r.now.Add(time.Hour)
	r.desk.Standing = func(now time.Time) []review.Silence {
		return []review.Silence{{ID: "m", By: "maintenance", Why: "x", From: r.now, Until: until}}
	}
	rv := r.raise("k1", review.Warning)
	r.told(0)
	if rv.Silence == nil || len(r.tool.calls) != 0 {
		t.Fatalf("%+v, %d calls", rv.Silence, len(r.tool.calls))
	}
	r.now = until
	r.desk.Standing = nil
	if err := r.desk.Remind(t.Context(), rv.ID); err != nil {
		t.Fatal(err)
	}
	r.told(1)
	if r.tool.loud != 1 {
		t.Errorf("after the silence: %d calls", r.tool.loud)
	}
}

func TestACallThatDiedHalfWayIsAdopted(t *testing.T) {
	r := newRound(t)
	rv := r.raise("k1", review.Warning)
	// Dead between the tool's effect and its being noted.
	claimed := false
	r.tool.before = func() { claimed, r.store.refuse = true, "review/" }
	if err := r.tell(0); err == nil || !claimed {
		t.Fatal("the fault was swallowed")
	}
	r.store.refuse, r.tool.before = "", nil
	var busy *policy.RetryAfterError
	if err := r.tell(0); !errors.As(err, &busy) || !errors.Is(err, review.ErrTicketBusy) {
		t.Fatalf("at once: %v, want to be told to come again", err)
	}
	r.now = r.now.Add(3 * time.Minute)
	r.told(0)
	if last := r.tool.calls[len(r.tool.calls)-1]; last.Ticket.Ref != "" || r.ticket(rv.ID).Ref == "" {
		t.Errorf("given %+v, kept %+v", last.Ticket, r.ticket(rv.ID))
	}
}

// What a call that failed or died may have left in the tool is closed.
func TestAnOrphanIsClosedWithItsReview(t *testing.T) {
	for name, kill := range map[string]func(*round){
		"died":            func(r *round) { r.store.refuse = "review/" },
		"the answer lost": func(r *round) { r.tool.fail = errTool },
	} {
		r := newRound(t)
		rv := r.raise("k1", review.Warning)
		r.tool.before = func() { kill(r) }
		if err := r.tell(0); err == nil {
			t.Fatal("the fault was swallowed")
		}
		r.store.refuse, r.tool.fail, r.tool.before = "", nil, nil
		r.now = r.now.Add(3 * time.Minute)
		r.do(rv.ID, review.Ack)
		r.told(1)
		r.do(rv.ID, review.Resolve)
		r.told(2)
		for ref, open := range r.tool.made {
			if open {
				t.Errorf("%s: %s stays open in the tool", name, ref)
			}
		}
	}
}

func TestAFailureKeepsTheTicketAndSaysWhy(t *testing.T) {
	r := newRound(t)
	rv := r.raise("k1", review.Warning)
	r.told(0)
	r.raise("k2", review.Critical)
	r.tool.fail = errTool
	if err := r.tell(1); !errors.Is(err, errTool) {
		t.Fatal(err)
	}
	if got := r.ticket(rv.ID); got.Ref != "ref-"+rv.ID || got.Failed != errTool.Error() {
		t.Errorf("%+v", got)
	}
	r.tool.fail = nil
	r.told(1)
	if got := r.ticket(rv.ID); got.Failed != "" || r.tool.loud != 3 {
		t.Errorf("made good: %+v, %d loud calls", got, r.tool.loud)
	}
}

// Where a ticket's id can't be noted, the next try notes it and calls nobody.
func TestATicketThatCouldNotBeNotedIsNotedLater(t *testing.T) {
	r := newRound(t)
	rv := r.raise("k1", review.Warning)
	r.store.refuse = "tickets/"
	if err := r.tell(0); err == nil {
		t.Fatal("the fault was swallowed")
	}
	r.store.refuse = ""
	r.told(0)
	got, err := r.desk.Hear(t.Context(), "pager", review.Heard{Ref: "ref-" + rv.ID, Verb: review.Ack, At: r.now})
	if err != nil || got.ID != rv.ID || r.tool.loud != 1 {
		t.Errorf("heard of %q, %v; %d loud calls", got.ID, err, r.tool.loud)
	}
}

func TestARefreshGoesOnWhateverHappens(t *testing.T) {
	r := newRound(t)
	r.tool.refresh = 5 * time.Minute
	rv := r.raise("k1", review.Warning)
	r.told(0)
	refresh := func() {
		t.Helper()
		if err := r.Refresh(t.Context(), rv.ID); err != nil {
			t.Fatal(err)
		}
	}
	start := r.now
	r.now = start.Add(5*time.Minute - 10*time.Second)
	refresh() // early, by this clock
	r.now = start.Add(5 * time.Minute)
	r.tool.fail = errTool
	refresh()
	r.now = start.Add(6 * time.Minute)
	r.tool.fail = nil
	refresh()
	refresh() // twice
	want := []time.Duration{5 * time.Minute, 5*time.Minute + 10*time.Second, 6 * time.Minute, 11 * time.Minute}
	var got []time.Duration
	for _, at := range r.later {
		got = append(got, at.Sub(start))
	}
	if !slices.Equal(got, want) || r.tool.loud != 1 || len(r.tool.calls) != 3 {
		t.Errorf("refreshes at %s, want %s; %d calls, %d loud", got, want, len(r.tool.calls), r.tool.loud)
	}
	r.do(rv.ID, review.Resolve)
	r.told(1)
	r.now = start.Add(11 * time.Minute)
	refresh()
	if len(r.later) != len(want) || len(r.tool.calls) != 4 {
		t.Errorf("resolved, it goes on: %d times, %d calls", len(r.later), len(r.tool.calls))
	}
}

// A call that outlasted its claim would have company.
func TestACallEndsBeforeItsClaimDoes(t *testing.T) {
	r := newRound(t)
	rv := r.raise("k1", review.Warning)
	var held error
	r.tool.before = func() {
		r.now = r.now.Add(r.tool.within)
		_, held = r.desk.ClaimTicket(t.Context(), rv.ID, "pager", "p2", r.now.Add(time.Minute))
	}
	r.told(0)
	if r.tool.within <= 0 || !errors.Is(held, review.ErrTicketBusy) {
		t.Errorf("a call of %s, and then: %v", r.tool.within, held)
	}
}

func TestANoticeIsToldOnce(t *testing.T) {
	r := newRound(t)
	_, err := r.Do(t.Context(), policy.Action{ID: "a@monitor/ws/m", Key: "a", Type: policy.Notify, Title: "look", Asset: "monitor/ws/m", Occurred: r.now})
	if err != nil || len(r.tool.calls) != 1 || !r.tool.calls[0].Once || len(r.store.records) != 0 {
		t.Errorf("%v, %d calls, %d records", err, len(r.tool.calls), len(r.store.records))
	}
}

func TestACourierRefusesWhatItCannotDo(t *testing.T) {
	r := newRound(t)
	var permanent *policy.PermanentError
	if _, err := r.Do(t.Context(), policy.Action{Type: policy.Retrain}); !errors.As(err, &permanent) {
		t.Errorf("a retrain: %v", err)
	}
	out, err := r.Do(t.Context(), policy.Action{Type: policy.Deliver, Inputs: map[string]any{"review": "aaaaaaaaaaaaaaaaaaaaaaaaaa-1"}})
	if err != nil || out.Summary == "" {
		t.Errorf("a review that is no more: %+v, %v", out, err)
	}
}
