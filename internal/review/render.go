package review

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cardLines bounds each list on a card.
const cardLines = 8

// Markdown renders the review as a short card for a ticket or a chat. What
// came from outside is escaped: it can't add links, images or mentions.
func Markdown(r *Review, now time.Time) string { return card(r, now, markdown) }

// Text renders the same card as plain text for a terminal.
func Text(r *Review, now time.Time) string { return card(r, now, plain) }

// style is how a card's parts are written.
type style struct {
	heading, line, section, item string
	// foreign writes text that came from outside, code a command.
	foreign, code func(string) string
}

var plain = style{
	heading: "%s\n", line: "%s\n", section: "\n%s\n", item: "  %s\n",
	foreign: oneLine, code: func(s string) string { return s },
}

var markdown = style{
	heading: "### %s\n", line: "\n%s\n", section: "\n**%s**\n\n", item: "- %s\n",
	foreign: escape, code: func(s string) string { return "`" + s + "`" },
}

// card writes what is wrong, why, of what, since when, what happened, and
// what can be done.
func card(r *Review, now time.Time, s style) string {
	var b strings.Builder
	fmt.Fprintf(&b, s.heading, strings.ToUpper(string(r.Severity))+": "+s.foreign(r.Title))
	fmt.Fprintf(&b, s.line, standing(r, now, s))
	list(&b, s, "Why", facts(r, s), 0)
	list(&b, s, "Assets", each(r.Assets, s.foreign), r.AssetsDropped)
	list(&b, s, fmt.Sprintf("Signals (%d)", r.Count), notes(r, s), r.Count-len(r.Signals))
	list(&b, s, "What happened", happenings(r, s), r.HistoryDropped+r.CommentsDropped)
	list(&b, s, "What you can do", verbs(r, s), 0)
	return b.String()
}

// standing is the line that says where the review stands.
func standing(r *Review, now time.Time, s style) string {
	line := fmt.Sprintf("%s since %s (%s), review %s", r.State, clock(r.since()), age(now.Sub(r.since())), r.ID)
	switch {
	case r.State == Resolved:
		line += ", by " + s.foreign(r.Resolution.By)
	case r.State == Snoozed:
		line += ", until " + clock(r.SnoozedUntil)
	case r.State == Acknowledged:
		line += ", by " + s.foreign(r.AckedBy)
	case !r.Escalated.IsZero():
		line += ", ESCALATED: not acknowledged by " + clock(r.Escalated)
	case !r.AckBy.IsZero():
		line += ", acknowledge by " + clock(r.AckBy)
	}
	return line
}

// since is when the present state began.
func (r *Review) since() time.Time {
	for i := len(r.History) - 1; i >= 0; i-- {
		if t := r.History[i]; t.To == r.State && t.From != t.To {
			return t.At
		}
	}
	return r.Opened
}

func facts(r *Review, s style) []string {
	var out []string
	if r.Reason != "" {
		out = append(out, s.foreign(r.Reason))
	}
	if len(r.Policies) > 0 {
		out = append(out, "policy "+s.foreign(strings.Join(r.Policies, ", ")))
	}
	if r.Model != "" {
		out = append(out, "model "+s.foreign(r.Model))
	}
	if r.Previous != "" {
		out = append(out, "not the first time: see review "+r.Previous)
	}
	return out
}

func notes(r *Review, s style) []string {
	var out []string
	for _, n := range r.Signals {
		out = append(out, strings.TrimSpace(clock(n.At)+" "+s.foreign(n.Text)))
	}
	return out
}

// happenings are the transitions and comments, the latest first.
func happenings(r *Review, s style) []string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, t := range r.History {
		text := s.foreign(t.By)
		if t.From != t.To {
			text = string(t.To) + " by " + text
		}
		if t.Why != "" {
			text += ": " + s.foreign(t.Why)
		}
		lines = append(lines, line{t.At, text})
	}
	for _, c := range r.Comments {
		lines = append(lines, line{c.At, s.foreign(c.By) + " wrote: " + s.foreign(c.Text)})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	slices.Reverse(lines)
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = clock(l.at) + " " + l.text
	}
	return out
}

// verbs are the commands that the review's state allows.
func verbs(r *Review, s style) []string {
	var out []string
	for _, v := range []Verb{Ack, Snooze, Resolve} {
		if to, legal := moves[r.State][v]; legal && (to != r.State || v == Snooze) {
			out = append(out, s.code("modelwarden review "+string(v)+" "+r.ID))
		}
	}
	return out
}

// list writes a titled list, nothing when it is empty. dropped counts what
// the review itself no longer holds.
func list(b *strings.Builder, s style, title string, items []string, dropped int) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(b, s.section, title)
	shown := items[:min(len(items), cardLines)]
	for _, it := range shown {
		fmt.Fprintf(b, s.item, it)
	}
	if more := len(items) - len(shown) + dropped; more > 0 {
		fmt.Fprintf(b, s.item, fmt.Sprintf("and %d more", more))
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

// oneLine folds text into one line without control characters, so that what
// came from outside can't move a terminal's cursor.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

// zeroWidth breaks up what would be active text without being seen.
const zeroWidth = "\u200b"

// inert makes the characters that mean something in Markdown or HTML literal,
// and keeps names from notifying and addresses from becoming links.
var inert = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;",
	"@", "@"+zeroWidth, "://", ":"+zeroWidth+"//", "www.", "www"+zeroWidth+".",
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`,
	"(", `\(`, ")", `\)`, "#", `\#`, "+", `\+`, "!", `\!`, "|", `\|`, "~", `\~`,
)

// escape makes text literal in Markdown.
func escape(s string) string { return inert.Replace(oneLine(s)) }
