package effect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

const slackAPI = "https://slack.com/api"

// slackCalls is what a reply calls people for. That a review opened is what the
// message itself called them for.
const slackCalls = review.Loud &^ review.NewsOpened

// slack shows each review as one message of a channel and edits it as the
// review goes on. News that on-call is to be called for is a reply in the
// message's thread as well, shown in the channel and with the mentions: an
// edit calls nobody.
//
// Slack drops no repeats, so a message carries the review's key as metadata and
// is looked up by it before another is posted. That needs the scope
// channels:history (groups:history in a private channel) and the channel's id:
// without them a crash between posting and recording posts twice.
type slack struct {
	api      rest
	name     string
	channel  string
	mentions []any
	now      func() time.Time
	// learned is the id of a channel that was configured by its name.
	learned atomic.Pointer[string]
}

func buildSlack(name string, t *policy.SlackTarget, d *Deps) (Ticketer, error) {
	token, client, err := d.caller(name, policy.SlackKind, &t.Token)
	if err != nil {
		return nil, err
	}
	base, err := parseURL(cmp.Or(t.URL, slackAPI))
	if err != nil {
		return nil, err
	}
	if checkHeader("Authorization", token) != nil {
		return nil, errors.New("token: it has control characters")
	}
	return &slack{
		name: name, channel: t.Channel, mentions: slackMentions(t.Mentions), now: d.Now,
		api: rest{
			base: base, client: client, userAgent: d.userAgent(), hide: newRedactor(token),
			header: http.Header{"Accept": {"application/json"}, "Authorization": {"Bearer " + token}},
		},
	}, nil
}

// slackPost is where a message is, and the revision of the review that its
// readers were called for when it was posted.
type slackPost struct {
	channel, ts string
	rev         int
}

func (p slackPost) ref() string { return p.channel + ":" + p.ts }

// Deliver implements Ticketer. A ticket's Ref is the channel's id and the
// message's timestamp.
func (s *slack) Deliver(ctx context.Context, d Delivery) (review.Ticket, error) {
	m := newSlackMessage(newNotice(d), mentioned(s.mentions, d))
	at, err := s.standing(ctx, d)
	if err != nil {
		return review.Ticket{}, err
	}
	switch {
	case at == nil && d.Once:
		_, err = s.post(ctx, d, m)
		return review.Ticket{}, err
	case d.Once:
		return review.Ticket{}, nil
	case at == nil:
		return s.repost(ctx, d, m)
	}
	return s.renew(ctx, d, at, m)
}

// repost posts a message where there is none, or none any more, unless the
// review is over or is to be left alone: then nobody needs to see it now.
func (s *slack) repost(ctx context.Context, d Delivery, m slackMessage) (review.Ticket, error) {
	if r := &d.Card.Review; pageQuiet(r) && (r.State != review.Acknowledged || r.Silence != nil) {
		return messageTicket(s.name, d), nil
	}
	at, err := s.post(ctx, d, m)
	if err != nil {
		return review.Ticket{}, err
	}
	return s.ticket(ctx, d, at, m), nil
}

// standing is the message that there is of the review, nil when there is none.
func (s *slack) standing(ctx context.Context, d Delivery) (*slackPost, error) {
	if channel, ts, ok := strings.Cut(d.Ticket.Ref, ":"); ok {
		return &slackPost{channel, ts, d.Ticket.Rev}, nil
	}
	return s.find(ctx, d)
}

// renew brings a message up to date and calls those who are to be called.
func (s *slack) renew(ctx context.Context, d Delivery, at *slackPost, m slackMessage) (review.Ticket, error) {
	if m.digest() != d.Ticket.Shown {
		err := s.update(ctx, d, at, m)
		if slackRefused(err, "message_not_found", "cant_update_message") {
			// Deleted by hand, or posted by an app that the token is no longer of.
			return s.repost(ctx, d, m)
		}
		if err != nil {
			return review.Ticket{}, err
		}
	}
	if d.News.Has(slackCalls) && !pageQuiet(&d.Card.Review) && at.rev < d.Card.Review.Rev {
		if err := s.call(ctx, d, at); err != nil {
			return review.Ticket{}, err
		}
	}
	return s.ticket(ctx, d, at, m), nil
}

// ticket is what is known of a message that shows the card.
func (s *slack) ticket(ctx context.Context, d Delivery, at *slackPost, m slackMessage) review.Ticket {
	t := messageTicket(s.name, d)
	t.Ref, t.URL, t.Shown = at.ref(), d.Ticket.URL, m.digest()
	if t.URL == "" || d.Ticket.Ref != t.Ref {
		t.URL = s.permalink(ctx, at)
	}
	return t
}

// permalink is the message's address for people; "" when Slack does not say,
// which spoils nothing.
func (s *slack) permalink(ctx context.Context, at *slackPost) string {
	a, err := s.send(ctx, http.MethodGet, "chat.getPermalink", url.Values{"channel": {at.channel}, "message_ts": {at.ts}}, nil)
	if err != nil {
		return ""
	}
	return shownLink(a.Permalink)
}

// post makes a new message.
func (s *slack) post(ctx context.Context, d Delivery, m slackMessage) (*slackPost, error) {
	a, err := s.send(ctx, http.MethodPost, "chat.postMessage", nil, map[string]any{
		"channel": s.channel, "text": m.text, "blocks": m.blocks, "parse": "none",
		"unfurl_links": false, "unfurl_media": false,
		"metadata": slackMetadata(slackReview, d.Key, d.Card.Review.Rev),
	})
	if err != nil {
		return nil, slackDoubt(err)
	}
	s.learned.Store(&a.Channel)
	return &slackPost{a.Channel, a.TS, d.Card.Review.Rev}, nil
}

// update edits a message. Its metadata stay as they are.
func (s *slack) update(ctx context.Context, d Delivery, at *slackPost, m slackMessage) error {
	_, err := s.send(ctx, http.MethodPost, "chat.update", nil, map[string]any{
		"channel": at.channel, "ts": at.ts, "text": m.text, "blocks": m.blocks, "parse": "none",
		"metadata": slackMetadata(slackReview, d.Key, at.rev),
	})
	return err
}

// call replies to a message with what is new, once for each revision.
func (s *slack) call(ctx context.Context, d Delivery, at *slackPost) error {
	called, err := s.called(ctx, d, at)
	if err != nil || called {
		return err
	}
	m := newSlackNews(newNotice(d), d.News&slackCalls, mentioned(s.mentions, d))
	_, err = s.send(ctx, http.MethodPost, "chat.postMessage", nil, map[string]any{
		"channel": at.channel, "thread_ts": at.ts, "reply_broadcast": true, "text": m.text, "blocks": m.blocks, "parse": "none",
		"unfurl_links": false, "unfurl_media": false,
		"metadata": slackMetadata(slackNews, d.Key, d.Card.Review.Rev),
	})
	return slackDoubt(err)
}

// slackDoubt marks the failure of a post that may have been made all the same.
// A limit that says how long it lasts was reached before.
func slackDoubt(err error) error {
	var limited *policy.RetryAfterError
	if errors.As(err, &limited) {
		return err
	}
	return uncertain(err)
}

// digest tells whether a message shows something else than another.
func (m slackMessage) digest() string {
	written, _ := json.Marshal(m.blocks) // maps of texts
	sum := sha256.Sum256(append([]byte(m.text), written...))
	return hex.EncodeToString(sum[:16])
}

// slackChannelID is what Slack's ids of channels look like.
var slackChannelID = regexp.MustCompile(`^[CGD][A-Z0-9]{7,}$`)

// channelID is the channel's id, "" while only its name is known.
func (s *slack) channelID() string {
	if slackChannelID.MatchString(s.channel) {
		return s.channel
	}
	if id := s.learned.Load(); id != nil {
		return *id
	}
	return ""
}

// slackTime writes a time as Slack does.
func slackTime(t time.Time) string { return fmt.Sprintf("%d.000000", t.Unix()) }
