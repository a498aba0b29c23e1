package effect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// Bounds of a notice: entries of one list, and bytes of one text.
const (
	noticeItems = 5
	noticeText  = 300
)

// notice is what a message says of a review, before a tool's markup: one line
// per text, inert and bounded. It names moments and not ages, so
// that the same card makes the same notice whenever it is made.
type notice struct {
	Title    string
	Severity review.Severity
	// News is what is new in a word or two; "" in messages that are kept up to
	// date and so always say how things are.
	News string
	// Standing says where the review stands; "" for what is no review.
	Standing string
	Facts    []noticeFact
	Sections []noticeSection
	// Page and Runbook are addresses, "" when there is none to go to.
	Page, Runbook string
	// Mark is how the message is found again, by people and by search.
	Mark string
}

type noticeFact struct{ Name, Text string }

type noticeSection struct {
	Title string
	Items []string
}

// Headline is the severity and the title.
func (n *notice) Headline() string {
	return strings.ToUpper(string(n.Severity)) + ": " + n.Title
}

// newNotice takes from a card what a message has room for, what matters most
// first: a tool that has room for less drops sections from the end.
func newNotice(d Delivery) notice {
	c, r := &d.Card, &d.Card.Review
	n := notice{
		Title: flat(cmp.Or(r.Title, r.Cause, r.ID)), Severity: cmp.Or(r.Severity, review.Warning),
		Page: pageLink(c.URL), Runbook: pageRunbook(c), Mark: flat(d.Key),
	}
	n.fact("Why", r.Reason)
	n.fact("Model", r.Model)
	n.fact("Owner", c.Owner)
	n.fact("Policy", strings.Join(r.Policies, ", "))
	n.fact("Assets", noticeNames(r.Assets, r.AssetsDropped))
	if d.Once {
		return n
	}
	n.Standing = noticeStanding(r)
	if n.Mark = flat("review " + r.ID); r.ID != d.Key {
		n.Mark = flat("review " + r.ID + ", " + d.Key)
	}
	if r.Count > 1 {
		n.fact("Signals", fmt.Sprintf("%d, the last %s", r.Count, noticeTime(r.LastSignal)))
	}
	n.section("Measured", noticeLines(c.Measured, noticeMeasured), 0)
	n.section(changedSince(c), noticeLines(c.Changed, noticeShift), c.MoreChanged)
	n.section("Done", noticeLines(c.Done, noticeDeed), 0)
	n.section("Held back", noticeLines(c.Held, noticeDeed), 0)
	older := max(0, len(r.Comments)-noticeItems)
	n.section("Comments", noticeLines(r.Comments[older:], noticeComment), older+r.CommentsDropped)
	n.section("Before", noticeLines(c.Similar, noticePast), 0)
	return n
}

func (n *notice) fact(name, text string) {
	if text = flat(text); text != "" {
		n.Facts = append(n.Facts, noticeFact{name, text})
	}
}

// section adds a list, if there is anything in it; more counts what the card
// itself left out.
func (n *notice) section(title string, items []string, more int) {
	if items = slices.DeleteFunc(items, func(s string) bool { return s == "" }); len(items) == 0 {
		return
	}
	if over := len(items) - noticeItems; over > 0 {
		items, more = items[:noticeItems:noticeItems], more+over
	}
	if more > 0 {
		items = append(items, fmt.Sprintf("and %d more", more))
	}
	n.Sections = append(n.Sections, noticeSection{title, items})
}

// noticeLines writes each entry of a list as one flat line.
func noticeLines[T any](in []T, write func(*T) string) []string {
	out := make([]string, len(in))
	for i := range in {
		out[i] = flat(write(&in[i]))
	}
	return out
}

// noticeStanding is where the review stands, since when, and by whom.
func noticeStanding(r *review.Review) string {
	var s string
	switch {
	case r.State == review.Resolved && r.Resolution != nil:
		s = "resolved by " + r.Resolution.By + " " + noticeTime(r.ResolvedAt)
		if r.Resolution.Cause != "" {
			s += ": " + r.Resolution.Cause
		}
	case r.State == review.Acknowledged:
		s = "acknowledged by " + r.AckedBy + " " + noticeTime(r.AckedAt)
	case r.State == review.Snoozed:
		s = "snoozed until " + noticeTime(r.SnoozedUntil)
	case !r.Escalated.IsZero():
		s = "open since " + noticeTime(r.OpenSince) + ", ESCALATED: nobody acknowledged it by " + noticeTime(r.Escalated)
	case !r.AckBy.IsZero():
		s = "open since " + noticeTime(r.OpenSince) + ", to be acknowledged by " + noticeTime(r.AckBy)
	default:
		s = string(r.State) + " since " + noticeTime(r.OpenSince)
	}
	if r.Silence != nil {
		s += "; silenced by " + r.Silence.By + " until " + noticeTime(r.Silence.Until)
	}
	return flat(s)
}

// noticeNames lists a few names and counts the rest.
func noticeNames(names []string, more int) string {
	shown := names[:min(len(names), noticeItems)]
	more += len(names) - len(shown)
	out := strings.Join(shown, ", ")
	if more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

// noticeMeasured is the newest known value of a series beside its threshold.
func noticeMeasured(s *review.Series) string {
	out := s.Metric
	if s.Feature != "" {
		out += " of " + s.Feature
	}
	for i := len(s.Points) - 1; i >= 0; i-- {
		if p := s.Points[i]; p.Value != nil {
			out += " = " + noticeNumber(*p.Value) + " " + noticeTime(p.At)
			break
		}
	}
	if s.Threshold != nil {
		out += ", threshold " + noticeNumber(*s.Threshold)
	}
	return out
}

func noticeNumber(f float64) string { return strconv.FormatFloat(f, 'g', 5, 64) }

func changedSince(c *review.Card) string {
	if c.LastHealthy.IsZero() {
		return "Changed"
	}
	return "Changed since it was last healthy, " + noticeTime(c.LastHealthy)
}

func noticeShift(s *review.Shift) string {
	return noticeTime(s.At) + " " + s.Kind + " " + s.Asset + ": " + s.What
}

func noticeDeed(d *review.Deed) string {
	out := strings.TrimSpace(noticeTime(d.At) + " " + d.Type)
	if d.Target != "" {
		out += " on " + d.Target
	}
	out += ": " + d.State
	if d.Text != "" {
		out += ", " + d.Text
	}
	return out
}

func noticeComment(c *review.Comment) string { return noticeTime(c.At) + " " + c.By + ": " + c.Text }

func noticePast(p *review.Past) string {
	out := noticeTime(p.Opened) + " " + p.Title
	if p.ResolvedBy != "" {
		out += ", resolved by " + p.ResolvedBy
	}
	if p.Resolution != "" {
		out += ": " + p.Resolution
	}
	return out
}

// noticeTime writes a time for people; "" for none.
func noticeTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

// flat folds text from outside into one bounded line in which nothing is a
// mention or a link, whatever reads it.
func flat(s string) string { return clip(activeText.Replace(plainLine(s)), noticeText) }

// messageTicket is a ticket that shows a delivery's card.
func messageTicket(target string, d Delivery) review.Ticket {
	r := &d.Card.Review
	return review.Ticket{Target: target, State: r.State, Severity: r.Severity, Rev: r.Rev, Updated: d.Now}
}
