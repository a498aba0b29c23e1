package effect

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// webhookReviews posts what becomes of reviews to a webhook. That one opened is
// not among it: the review action, which the webhook gets as an action, says so.
//
// A message's id comes from the review's revision. A repeat after a crash has
// the same, for the receiver to drop.
type webhookReviews struct {
	target string
	hook   *Webhook
}

func buildWebhookReviews(name string, t *policy.WebhookTarget, d *Deps) (Ticketer, error) {
	w, err := d.webhook(name, t)
	if err != nil {
		return nil, err
	}
	return &webhookReviews{target: name, hook: w}, nil
}

// Deliver implements Ticketer.
func (w *webhookReviews) Deliver(ctx context.Context, d Delivery) (review.Ticket, error) {
	if d.Once {
		return d.Ticket, &policy.PermanentError{Err: errors.New("a webhook gets a notice as an action, not as a review")}
	}
	r, out := &d.Card.Review, d.Ticket
	words := changeWords(d.News, r.State)
	if !w.hook.understands(policy.Review) {
		return out, nil
	}
	if len(words) == 0 {
		// The review action tells of it, and what follows belongs to that. The
		// ticket has no state as long as nothing was told here.
		out.Ref = d.Key
		return out, nil
	}
	id := event.Digest("webhook", d.Key, strconv.Itoa(r.Rev), words[0])
	if out.Shown == id {
		return out, nil
	}
	body, err := json.Marshal(newReviewMessage(&d.Card, words))
	if err != nil {
		return d.Ticket, &policy.PermanentError{Err: err}
	}
	if _, err := w.hook.post(ctx, id, d.Now, body); err != nil {
		return d.Ticket, err
	}
	return review.Ticket{
		Target: w.target, Ref: d.Key, State: r.State, Severity: r.Severity, Shown: id, Rev: r.Rev, Updated: d.Now,
	}, nil
}

// changes are the words for what is new, the most important first. What put the
// review in a state counts as new only while it is in that state.
var changes = []struct {
	news review.News
	word string
	in   review.State
}{
	{review.NewsResolved, "resolved", review.Resolved}, {review.NewsReopened, "reopened", ""},
	{review.NewsEscalated, "escalated", ""}, {review.NewsSeverity, "severity", ""}, {review.NewsAwake, "awake", review.Open},
	{review.NewsAcknowledged, "acknowledged", review.Acknowledged}, {review.NewsSnoozed, "snoozed", review.Snoozed},
	{review.NewsComment, "commented", ""},
}

func changeWords(news review.News, now review.State) []string {
	var out []string
	for _, c := range changes {
		if news.Has(c.news) && (c.in == "" || c.in == now) {
			out = append(out, c.word)
		}
	}
	return out
}

// reviewMessage is the body: the review as it is now. It is the same for every
// attempt at one revision.
type reviewMessage struct {
	Type      string     `json:"type"`
	Timestamp time.Time  `json:"timestamp"`
	Data      reviewData `json:"data"`
}

type reviewData struct {
	ID             string          `json:"id"`
	State          review.State    `json:"state"`
	Severity       review.Severity `json:"severity"`
	Title          string          `json:"title"`
	Reason         string          `json:"reason,omitempty"`
	Cause          string          `json:"cause"`
	Count          int             `json:"count"`
	Opened         time.Time       `json:"opened"`
	Updated        time.Time       `json:"updated"`
	AcknowledgedBy string          `json:"acknowledgedBy,omitempty"`
	Resolution     *ended          `json:"resolution,omitempty"`
	Assets         []string        `json:"assets"`
	Model          string          `json:"model,omitempty"`
	Workspace      string          `json:"workspace,omitempty"`
	Policies       []string        `json:"policies,omitempty"`
	URL            string          `json:"url,omitempty"`
	// News are the words for all that is new, that of the type first.
	News []string `json:"news"`
}

// ended says how a review was resolved.
type ended struct {
	By    string `json:"by"`
	Cause string `json:"cause,omitempty"`
	Auto  bool   `json:"auto"`
}

func newReviewMessage(c *review.Card, words []string) *reviewMessage {
	r := &c.Review
	m := &reviewMessage{
		Type: "modelwarden.review." + words[0], Timestamp: r.Updated.UTC(),
		Data: reviewData{
			ID: r.ID, State: r.State, Severity: r.Severity, Title: r.Title, Reason: r.Reason, Cause: r.Cause,
			Count: r.Count, Opened: r.Opened.UTC(), Updated: r.Updated.UTC(), AcknowledgedBy: r.AckedBy,
			Assets: append([]string{}, r.Assets...), Model: r.Model, Workspace: r.Workspace, Policies: r.Policies,
			URL: c.URL, News: words,
		},
	}
	if end := r.Resolution; end != nil {
		m.Data.Resolution = &ended{By: end.By, Cause: end.Cause, Auto: end.Auto}
	}
	return m
}
