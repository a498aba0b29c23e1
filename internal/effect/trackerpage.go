package effect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// page is what a ticket is to say and to be.
type page struct {
	key, title, body string
	severity         review.Severity
	// state is review.Open, review.Acknowledged or review.Resolved.
	state review.State
	// ending says how the review was resolved.
	ending string
	// digest is the same for the same text and severity.
	digest string
}

func (k *tracked) page(d *Delivery) *page {
	c := k.lasting(d.Card)
	r := &c.Review
	p := &page{key: d.Key, severity: r.Severity, state: r.State, ending: ending(r)}
	if r.State == review.Snoozed {
		p.state = review.Open
	}
	p.title, p.body = k.t.compose(&c, d.Key)
	p.digest = event.Digest("ticket", p.title, p.body, string(p.severity))
	return p
}

// lasting is a card without what changes although nothing of the review did:
// what this ticket itself is, and when others were last told.
func (k *tracked) lasting(c review.Card) review.Card {
	var others []review.Ticket
	for _, t := range c.Tickets {
		if t.Target != k.target {
			others = append(others, review.Ticket{Target: t.Target, Ref: t.Ref, URL: t.URL})
		}
	}
	c.Tickets = others
	return c
}

// asOf is the moment that the ages on a card count up to: the review's last
// change. The time of the call would make another text of every delivery.
func asOf(r *review.Review) time.Time {
	return slices.MaxFunc([]time.Time{r.Opened, r.LastSignal, r.Updated}, time.Time.Compare)
}

// trackerMarkdown and trackerText are the card as Markdown and as plain text.
func trackerMarkdown(c *review.Card) string {
	return strings.Map(undirected, review.Markdown(c, asOf(&c.Review)))
}

func trackerText(c *review.Card) string {
	return strings.Map(undirected, review.Text(c, asOf(&c.Review)))
}

// undirected drops the characters that turn the direction of what follows.
func undirected(c rune) rune {
	if c >= '\u202a' && c <= '\u202e' || c >= '\u2066' && c <= '\u2069' {
		return -1
	}
	return c
}

// asOfLine is the line that says until when a ticket's text counts.
func asOfLine(c *review.Card) string {
	return "As of " + asOf(&c.Review).UTC().Format("2006-01-02 15:04:05Z") + ", the last change of this review. Modelwarden keeps this text up to date and overwrites changes to it."
}

// trackerTitle names a review in one line of at most max characters.
func trackerTitle(r *review.Review, max int) string {
	title := fmt.Sprintf("[%s] %s", r.Severity, r.Title)
	if r.Model != "" {
		title += " (" + cmp.Or(lineage.ID(r.Model).Name(), r.Model) + ")"
	}
	return atMostChars(plainLine(title), max)
}

func ending(r *review.Review) string {
	if r.Resolution == nil {
		return "resolved in Modelwarden"
	}
	return plainLine("resolved by " + r.Resolution.By + ": " + cmp.Or(r.Resolution.Cause, "no cause given"))
}

// allTickets is the label of every ticket, for people and for the filters of
// their webhooks; oneTicket, followed by the key, that of one.
const (
	allTickets = "modelwarden"
	oneTicket  = "modelwarden-"
)

// keyOf reads the key out of a ticket's labels.
func keyOf(labels []string) string {
	for _, l := range labels {
		if key, ok := strings.CutPrefix(strings.TrimSpace(l), oneTicket); ok && ticketKey(key) != "" {
			return key
		}
	}
	return ""
}

// ticketKey is s if it may be a Delivery's key, else "".
func ticketKey(s string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
	if len(s) > 40 || strings.Trim(s, letters) != "" {
		return ""
	}
	return s
}

// plainLine folds text from outside into one line, without the characters that
// control a terminal or turn the direction of what follows.
func plainLine(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' {
			return ' '
		}
		return undirected(c)
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

// atMostChars cuts text to at most n characters.
func atMostChars(s string, n int) string {
	if charPrefix(s, n) == s {
		return s
	}
	return charPrefix(s, n-1) + "…"
}

// atMostLines cuts text to at most n characters at the end of a line, so that
// no markup is cut in two.
func atMostLines(s string, n int) string {
	if charPrefix(s, n) == s {
		return s
	}
	short := charPrefix(s, n-2)
	if end := strings.LastIndexByte(short, '\n'); end >= 0 && s[len(short)] != '\n' {
		short = short[:end]
	}
	return short + "\n…"
}

// charPrefix is the longest beginning of s that has at most n characters as the
// trackers count them, in UTF-16.
func charPrefix(s string, n int) string {
	units := 0
	for i, c := range s {
		if units += utf16.RuneLen(c); units > n {
			return s[:i]
		}
	}
	return s
}
