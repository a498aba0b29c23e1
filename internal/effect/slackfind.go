package effect

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Types of metadata: of a review's message, and of a reply that calls people.
const (
	slackReview = "modelwarden_review"
	slackNews   = "modelwarden_news"
)

const slackPageSize = 200

// slackMark is a message's metadata. Other apps' payloads may be anything.
type slackMark struct {
	Type    string          `json:"event_type"`
	Payload json.RawMessage `json:"event_payload"`
}

// slackOwn is the payload of ours.
type slackOwn struct {
	Key string `json:"key"`
	Rev int    `json:"rev"`
}

// own reads the payload of metadata of a type that is ours.
func (m *slackMark) own(kind string) slackOwn {
	var out slackOwn
	if m.Type != kind || json.Unmarshal(m.Payload, &out) != nil {
		return slackOwn{}
	}
	return out
}

func slackMetadata(kind, key string, rev int) any {
	return map[string]any{"event_type": kind, "event_payload": slackOwn{key, rev}}
}

// find looks for the review's message among those of the channel since the
// review was opened; nil when there is none, or when the app may not look.
// Slack lists the newest first, so of several the newest is taken.
func (s *slack) find(ctx context.Context, d Delivery) (*slackPost, error) {
	channel := s.channelID()
	if channel == "" {
		return nil, nil
	}
	since := d.Card.Review.Opened
	if since.IsZero() {
		since = d.Now.Add(-time.Hour)
	}
	m, err := s.search(ctx, "conversations.history", url.Values{"channel": {channel}}, since, func(m *slackMark) bool {
		return m.own(slackReview).Key == d.Key
	})
	if err != nil || m == nil {
		return nil, err
	}
	return &slackPost{channel, m.TS, m.Metadata.own(slackReview).Rev}, nil
}

// called reports whether the thread has the reply of this revision.
func (s *slack) called(ctx context.Context, d Delivery, at *slackPost) (bool, error) {
	m, err := s.search(ctx, "conversations.replies", url.Values{"channel": {at.channel}, "ts": {at.ts}}, d.Card.Review.Updated, func(m *slackMark) bool {
		return m.own(slackNews) == slackOwn{d.Key, d.Card.Review.Rev}
	})
	return m != nil, err
}

// search reads messages since a time, page by page, until one is ours. After
// maxListingPages it gives up: on-call that is told twice is better off than
// one that is not told.
func (s *slack) search(ctx context.Context, method string, query url.Values, since time.Time, ours func(*slackMark) bool) (*slackListed, error) {
	query.Set("include_all_metadata", "true")
	query.Set("limit", strconv.Itoa(slackPageSize))
	query.Set("oldest", slackTime(since.Add(-listingSkew)))
	for range maxListingPages {
		a, err := s.send(ctx, http.MethodGet, method, query, nil)
		if slackRefused(err, slackUnreadable...) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range a.Messages {
			if ours(&a.Messages[i].Metadata) {
				return &a.Messages[i], nil
			}
		}
		if a.Next.Cursor == "" {
			return nil, nil
		}
		query.Set("cursor", a.Next.Cursor)
	}
	return nil, nil
}

// slackUnreadable are refusals to let an app look, which must not keep it from
// posting. thread_not_found: nobody has replied yet, or there is nothing left
// to reply to.
var slackUnreadable = []string{
	"missing_scope", "not_in_channel", "channel_not_found", "no_permission", "not_allowed_token_type", "thread_not_found",
	"access_denied", "ekm_access_denied", "enterprise_is_restricted", "team_access_not_granted",
}
