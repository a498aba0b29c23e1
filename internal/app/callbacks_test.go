package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/review"
	"github.com/modelwarden/modelwarden/internal/web"
)

// tool is a target that calls back.
type tool struct {
	effect.Ticketer
	heard []effect.Heard
	err   error
}

// Hear says what it was told to.
func (t *tool) Hear(http.Header, []byte) ([]effect.Heard, error) { return t.heard, t.err }

// mute is a target that never calls back.
type mute struct{ effect.Ticketer }

// ear notes what a desk is told.
type ear struct {
	told []string
	errs map[string]error
}

// Hear notes it.
func (e *ear) Hear(_ context.Context, target string, h review.Heard) (review.Review, error) {
	e.told = append(e.told, fmt.Sprint(target, h))
	return review.Review{ID: h.Key}, e.errs[h.Key]
}

func TestCallbacksReachTheirReviews(t *testing.T) {
	at := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	news := func(key string) effect.Heard {
		return effect.Heard{Key: key, Ref: "R", Verb: review.Ack, By: "ada", Why: "mine", At: at, ID: "e1"}
	}
	down := errors.New("the store is down")
	desk := &ear{errs: map[string]error{
		"gone": review.ErrNotFound, "stale": fmt.Errorf("x: %w", review.ErrStale), "over": &review.TransitionError{ID: "over"},
		"odd": &review.CommandError{Field: "by"}, "down": down,
	}}
	for name, c := range map[string]struct {
		tool effect.Ticketer
		told int
		want error
	}{
		"unknown":                  {nil, 0, web.ErrNoCaller},
		"never calls":              {mute{}, 0, web.ErrNoCaller},
		"forged":                   {&tool{err: fmt.Errorf("pd: %w", effect.ErrForged)}, 0, web.ErrForged},
		"no secret":                {&tool{err: effect.ErrNoCallback}, 0, web.ErrNoCallback},
		"unreadable":               {&tool{err: errors.New("no JSON")}, 0, web.ErrUnreadable},
		"nothing of ours":          {&tool{}, 0, nil},
		"news":                     {&tool{heard: []effect.Heard{news("a"), news("b")}}, 2, nil},
		"useless":                  {&tool{heard: []effect.Heard{news("gone"), news("stale"), news("over"), news("odd"), news("a")}}, 5, nil},
		"store down, to come back": {&tool{heard: []effect.Heard{news("a"), news("down"), news("b")}}, 2, down},
		"too much":                 {&tool{heard: slices.Repeat([]effect.Heard{news("a")}, 150)}, maxHeard, nil},
	} {
		t.Run(name, func(t *testing.T) {
			desk.told = nil
			taken := &callbacks{desk: desk, log: zap.NewNop(), ticketer: func(target string) (effect.Ticketer, bool) { return c.tool, target == "pd" }}
			if err := taken.Hear(t.Context(), "pd", nil, nil); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if len(desk.told) != c.told {
				t.Errorf("the desk was told %q", desk.told)
			}
		})
	}
	want := fmt.Sprint("pd", review.Heard{Key: "a", Ref: "R", Verb: review.Ack, By: "ada", Why: "mine", At: at, ID: "e1"})
	desk.told = nil
	c := &callbacks{desk: desk, log: zap.NewNop(), ticketer: func(string) (effect.Ticketer, bool) { return &tool{heard: []effect.Heard{news("a")}}, true }}
	if err := c.Hear(t.Context(), "pd", nil, nil); err != nil || desk.told[0] != want {
		t.Errorf("%v, told %q, want %q", err, desk.told, want)
	}
}
