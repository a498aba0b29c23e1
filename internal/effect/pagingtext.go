package effect

import (
	"cmp"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Bounds of what a page says, in bytes. PagerDuty cuts summaries at 1,024
// characters; receivers of Alertmanager cut much of what is longer than these.
const (
	maxPageSummary = 1000
	maxPageText    = 4000
)

// pageSummary is what is wrong, in one line.
func pageSummary(r *review.Review) string {
	text := strings.Join(strings.Fields(cmp.Or(r.Title, r.Cause)), " ")
	return clip(inertPage(cmp.Or(text, "review "+r.ID)), maxPageSummary)
}

// pageText is the card for people who look closer.
func pageText(c *review.Card, now time.Time) string {
	return clip(inertPage(review.Text(c, now)), maxPageText)
}

// activeText is what chats and mail programs, which pages are passed on to,
// make mentions, links or markup of. A space of no width breaks it up unseen.
var activeText = strings.NewReplacer(
	"@", "@\u200b", "<", "<\u200b", "://", ":\u200b//", "www.", "www\u200b.",
)

// inertPage keeps what came from outside from notifying people and from
// becoming a link: nobody knows where a page ends up, so nothing can be escaped.
func inertPage(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 || unicode.Is(unicode.Bidi_Control, c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	return activeText.Replace(s)
}

// clip shortens text to at most n bytes, at a character's boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := n - len("…")
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// pageModel is the name of the model that a review speaks of.
func pageModel(r *review.Review) string { return cmp.Or(lineage.ID(r.Model).Name(), r.Model) }

// pageRunbook is the address of what to do.
func pageRunbook(c *review.Card) string { return pageLink(cmp.Or(c.Runbook, c.Review.Runbook)) }

// pageLink is an address that may be shown, or nothing.
func pageLink(link string) string {
	if u, err := url.Parse(shownLink(link)); err != nil || !u.IsAbs() {
		return ""
	}
	return link
}

// pageQuiet reports whether a review is not to call anybody now.
func pageQuiet(r *review.Review) bool { return r.State != review.Open || r.Silence != nil }
