package effect_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

func TestSilencesSayWhoAndUntilWhen(t *testing.T) {
	p, f := newAlerted(t)
	p.do(review.Ack, time.Time{})
	s := f.quieting()
	if len(s) != 1 || s[0].Comment != "acknowledged by Ada in Modelwarden: review "+pagedID || s[0].EndsAt.Sub(p.now) < 80*24*time.Hour {
		t.Fatalf("silences %+v", s)
	}
	if f.said() != "" {
		t.Errorf("a review that was acknowledged before it was first told calls: %s", f.said())
	}
	p.open(review.Warning)
	until := p.now.Add(2 * time.Hour)
	p.do(review.Snooze, until)
	s = f.quieting()
	if len(s) != 1 || !s[0].EndsAt.Equal(until.Truncate(time.Second)) {
		t.Errorf("silences %+v, want until %s", s, until)
	}
}

func TestPeopleMayEndASilence(t *testing.T) {
	p, f := newAlerted(t)
	p.do(review.Ack, time.Time{})
	f.silences[0].EndsAt = p.now
	p.deliver(0)
	p.deliver(review.NewsComment)
	f.silences = nil // Alertmanager forgets it after its retention
	p.deliver(0)
	if got := f.quieting(); len(got) != 0 {
		t.Errorf("silenced again: %+v", got)
	}
	// A new wish is a new silence.
	p.do(review.Snooze, p.now.Add(time.Hour))
	if got := f.quieting(); len(got) != 1 {
		t.Errorf("%d silences", len(got))
	}
}

func TestPeopleMayChangeASilence(t *testing.T) {
	p, f := newAlerted(t)
	p.do(review.Ack, time.Time{})
	until := p.now.Add(time.Hour)
	s := f.silences[0]
	s.EndsAt, s.CreatedBy, s.Comment = until, "Grace", "until lunch"
	p.deliver(0)
	p.deliver(review.NewsComment)
	if got := f.quieting(); len(got) != 1 || !got[0].EndsAt.Equal(until) || got[0].Comment != "until lunch" {
		t.Errorf("silences %+v", got)
	}
	p.do(review.Resolve, time.Time{})
	if got := f.quieting(); len(got) != 0 {
		t.Errorf("silences %+v", got)
	}
}

func TestALostSilenceIsMadeAnew(t *testing.T) {
	p, f := newAlerted(t)
	p.do(review.Ack, time.Time{})
	f.silences = nil
	clear(f.alerts)
	p.deliver(0)
	if got := f.quieting(); len(got) != 1 || f.said() != "" {
		t.Errorf("%d silences; told %q", len(got), f.said())
	}
}

// Silences that people made are theirs.
func TestOtherPeoplesSilencesStay(t *testing.T) {
	p, f := newAlerted(t)
	p.do(review.Ack, time.Time{})
	theirs := *f.silences[0]
	theirs.ID, theirs.CreatedBy = "00000000-0000-4000-8000-00000000beef", "Ada"
	f.silences = append(f.silences, &theirs)
	p.do(review.Resolve, time.Time{})
	if got := f.quieting(); len(got) != 1 || got[0].CreatedBy != "Ada" {
		t.Errorf("silences %+v", got)
	}
}

func TestAQuietReviewIsNotToldBeforeItIsSilenced(t *testing.T) {
	p, f := newAlerted(t)
	p.review().State, p.review().AckedBy, p.review().AckedAt = review.Acknowledged, "Ada", p.now
	f.faults(pagingFaults{before: func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/silences") && answers(503, nil, "")(w, r)
	}})
	if err := p.try(review.NewsAcknowledged); err == nil || len(f.firing()) != 0 {
		t.Errorf("%d alerts, %v", len(f.firing()), err)
	}
	// One that is open is told, silences or not.
	p.open(review.Warning)
	if err := p.try(review.NewsOpened); err == nil || len(f.firing()) != 1 {
		t.Errorf("%d alerts, %v", len(f.firing()), err)
	}
}
