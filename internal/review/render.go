package review

import (
	"fmt"
	"strings"
	"time"
)

// Bounds of what is written of a card: lines of each list, bytes of one text
// from outside, and of the whole. cardReserve is kept for what can be done.
const (
	cardLines   = 8
	maxItem     = 300
	maxRendered = 12 << 10
	cardReserve = 2 << 10
)

// Markdown renders a card for a ticket or a chat, in at most 12 KiB. What came
// from outside is escaped: it can't add links, images or mentions.
func Markdown(c *Card, now time.Time) string { return render(c, now, &markdown) }

// Text renders the same card as plain text for a terminal.
func Text(c *Card, now time.Time) string { return render(c, now, &plain) }

// style is how a card's parts are written.
type style struct {
	heading, line, section, item string
	// foreign writes text that came from outside, code a command, link an
	// address.
	foreign, code, link func(string) string
}

var plain = style{
	heading: "%s\n", line: "%s\n", section: "\n%s\n", item: "  %s\n",
	foreign: func(s string) string { return oneLine(clip(s, maxItem)) },
	code:    func(s string) string { return s },
	link:    bareLink,
}

var markdown = style{
	heading: "### %s\n", line: "\n%s\n", section: "\n**%s**\n\n", item: "- %s\n",
	foreign: func(s string) string { return escape(clip(s, maxItem)) },
	code:    func(s string) string { return "`" + s + "`" },
	link:    autolink,
}

// sheet is a card while it is being written.
type sheet struct {
	*style
	c   *Card
	r   *Review
	now time.Time
	b   strings.Builder
	// left is how many bytes may still be written.
	left int
}

// render writes what is wrong, why, what changed, what happened about it, and
// what can be done.
func render(c *Card, now time.Time, s *style) string {
	p := &sheet{style: s, c: c, r: &c.Review, now: now, left: maxRendered - cardReserve}
	p.write(fmt.Sprintf(s.heading, strings.ToUpper(string(p.r.Severity))+": "+s.foreign(p.r.Title)))
	for _, line := range p.standing() {
		p.write(fmt.Sprintf(s.line, line))
	}
	p.list("What is wrong", p.wrong(), 0)
	p.list("Why it fired", p.why(), 0)
	p.list(p.changedSince(), p.changed(), c.MoreChanged)
	p.list("What was done", p.deeds(c.Done), 0)
	p.list("What was held back", p.deeds(c.Held), 0)
	p.list("Similar reviews", p.similar(), 0)
	p.list("Whom and what it is about", p.about(), 0)
	p.list("Who is told next", p.told(), 0)
	p.list(p.signalsTitle(), p.signals(), p.r.Count-min(len(p.r.Signals), shownSignals))
	p.list("What happened", p.happenings(), p.r.HistoryDropped+p.r.CommentsDropped)
	p.list("What could not be found out", each(c.Gaps, s.foreign), 0)
	p.left += cardReserve
	p.list("What you can do", p.verbs(), 0)
	return p.b.String()
}

// write adds a piece if there is room for it.
func (p *sheet) write(piece string) bool {
	if len(piece) > p.left {
		return false
	}
	p.left -= len(piece)
	p.b.WriteString(piece)
	return true
}

// list writes a titled list, nothing when it is empty. dropped counts what
// is not among the items.
func (p *sheet) list(title string, items []string, dropped int) {
	if len(items) == 0 || !p.write(fmt.Sprintf(p.section, title)) {
		return
	}
	shown := 0
	for shown < min(len(items), cardLines) && p.write(fmt.Sprintf(p.item, items[shown])) {
		shown++
	}
	if more := len(items) - shown + dropped; more > 0 {
		p.write(fmt.Sprintf(p.item, fmt.Sprintf("and %d more", more)))
	}
}

func each(in []string, f func(string) string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = f(s)
	}
	return out
}

// clock writes a time for people: UTC, to the second.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// age writes how long something lasts in its largest two units.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}
