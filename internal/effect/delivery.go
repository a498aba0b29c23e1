package effect

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Inputs of a Deliver action.
const (
	deliverReview = "review"
	deliverRev    = "rev"
	deliverNews   = "news"
)

// errand is what a Deliver action asks for.
type errand struct {
	Review string      `json:"review"`
	Rev    int         `json:"rev"`
	News   review.News `json:"news"`
}

// NewDelivery is the intent to bring a review's ticket at a target up to date
// with a change, kept in the review's partition: one for each change and target,
// however often it is made. A Courier performs it.
func NewDelivery(partition, target string, c *review.Change, now time.Time) policy.Action {
	r, news := &c.Review, c.NewsFor(target)
	key := event.Digest("deliver", r.ID, target, fmt.Sprint(r.Rev))
	asset := partition
	if len(r.Assets) > 0 {
		asset = r.Assets[0]
	}
	a := policy.Action{
		ID: policy.ActionID(key, partition), Key: key, Type: policy.Deliver, Target: target, Policy: "builtin/deliver",
		Asset: asset, Model: r.Model, Title: fmt.Sprintf("Tell %s that review %s is %s", target, r.ID, news.Word()),
		Inputs:   map[string]any{deliverReview: r.ID, deliverRev: r.Rev, deliverNews: int(news)},
		Occurred: now, State: policy.Pending, Created: now, Updated: now,
	}
	if c.CallAt.After(now) {
		a.NextAttempt = c.CallAt
	}
	return a
}

// errandOf reads what an action made by NewDelivery asks for.
func errandOf(a *policy.Action) (errand, error) {
	var e errand
	body, err := json.Marshal(a.Inputs)
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	if err != nil {
		err = &policy.PermanentError{Err: fmt.Errorf("action %s: its inputs are damaged: %w", a.ID, err)}
	}
	return e, err
}
