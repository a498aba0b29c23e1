package review

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// standing says where the review stands, and where its page is.
func (p *sheet) standing() []string {
	r := p.r
	line := fmt.Sprintf("%s since %s (%s), review %s", r.State, clock(r.since()), age(p.now.Sub(r.since())), p.foreign(r.ID))
	switch {
	case r.State == Resolved && r.Resolution != nil:
		line += ", by " + p.foreign(r.Resolution.By)
	case r.State == Snoozed:
		line += ", until " + clock(r.SnoozedUntil)
	case r.State == Acknowledged:
		line += ", by " + p.foreign(r.AckedBy)
	case !r.Escalated.IsZero():
		line += ", ESCALATED: not acknowledged by " + clock(r.Escalated)
	case !r.AckBy.IsZero():
		line += ", acknowledge by " + clock(r.AckBy)
	}
	out := append([]string{line}, p.held()...)
	if p.c.URL != "" {
		out = append(out, p.link(p.c.URL))
	}
	return out
}

// held says what keeps the review from calling or from ending.
func (p *sheet) held() []string {
	var out []string
	if r := p.r.Resolution; p.r.State == Resolved && r != nil && r.Cause != "" {
		out = append(out, "resolved: "+p.foreign(r.Cause))
	}
	if s := p.r.Silence; s != nil {
		line := fmt.Sprintf("SILENCED by %s until %s", p.foreign(s.By), clock(s.Until))
		if s.Why != "" {
			line += ": " + p.foreign(s.Why)
		}
		out = append(out, line)
	}
	if !p.r.ResolveAt.IsZero() {
		out = append(out, "the cause has passed: this resolves at "+clock(p.r.ResolveAt)+" unless it comes back")
	}
	if p.r.Reopened > 0 {
		out = append(out, "reopened "+count(p.r.Reopened, "time"))
	}
	if p.r.Joined != "" {
		out = append(out, "goes on in review "+p.foreign(p.r.Joined))
	}
	return out
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

// Call is one step of who is told while nobody acknowledges.
type Call struct {
	Target string
	// At is when; zero is done already.
	At time.Time
}

// Calls are those who were told last, and those who are told next while nobody
// acknowledges, up to the end of the present round of the chain. A review that
// waits for nobody has none.
func (r *Review) Calls() (last []string, next []Call) {
	level := max(0, min(r.Level, len(r.Chain)))
	last = r.Targets
	if level > 0 {
		last = []string{r.Chain[level-1].Target}
	}
	if r.State != Open || r.AckBy.IsZero() || r.Silence != nil {
		return last, nil
	}
	at := r.AckBy
	for _, rung := range r.Chain[level:] {
		next = append(next, Call{rung.Target, at})
		at = after(at, rung.Within, r.AckWithin)
	}
	if len(next) == 0 && r.Round < r.Repeat {
		for _, t := range r.Targets {
			next = append(next, Call{t, at})
		}
	}
	return last, next
}

// told says who was told and who is next.
func (p *sheet) told() []string {
	last, next := p.r.Calls()
	var out []string
	if len(last) > 0 && p.r.State != Resolved {
		line := "told: " + strings.Join(each(last[:min(len(last), 5)], p.foreign), ", ")
		if p.r.Level > 0 {
			line += fmt.Sprintf(" (step %d of %d)", p.r.Level, len(p.r.Chain))
		}
		if p.r.Repeat > 0 {
			line += fmt.Sprintf(", round %d of %d", p.r.Round+1, p.r.Repeat+1)
		}
		out = append(out, line)
	}
	for _, c := range next[:min(len(next), 5)] {
		out = append(out, "next, if nobody acknowledges: "+p.foreign(c.Target)+" at "+clock(c.At))
	}
	return out
}

// signalsTitle counts the signals, and shows how many there were each hour.
func (p *sheet) signalsTitle() string {
	title := fmt.Sprintf("Signals (%d)", p.r.Count)
	if line := p.r.Hourly(); line != "" {
		title += " " + line + " per hour up to " + p.r.Pulse[len(p.r.Pulse)-1].Hour.UTC().Format("2006-01-02 15:00Z")
	}
	return title
}

// shownSignals is how many signals are listed: they tend to say the same.
const shownSignals = 5

func (p *sheet) signals() []string {
	var out []string
	for _, n := range p.r.Signals[:min(len(p.r.Signals), shownSignals)] {
		out = append(out, strings.TrimSpace(clock(n.At)+" "+p.foreign(n.Text)))
	}
	return out
}

// happenings are the transitions and comments, the latest first.
func (p *sheet) happenings() []string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, t := range p.r.History {
		text := p.foreign(t.By)
		if t.From != t.To {
			text = string(t.To) + " by " + text
		}
		if t.Why != "" {
			text += ": " + p.foreign(t.Why)
		}
		lines = append(lines, line{t.At, text})
	}
	for _, c := range p.r.Comments {
		lines = append(lines, line{c.At, p.foreign(c.By) + " wrote: " + p.foreign(c.Text)})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	slices.Reverse(lines)
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = clock(l.at) + " " + l.text
	}
	return out
}

// verbs are the commands that can be given now.
func (p *sheet) verbs() []string {
	var out []string
	for _, v := range p.c.Verbs {
		switch v {
		case RetrainNow:
			out = append(out, p.command(v, p.c.RetrainTargets...))
		case RollBackNow:
			out = append(out, p.command(v, p.c.RollbackTargets...))
		default:
			out = append(out, p.command(v))
		}
	}
	return out
}

// command is a verb as it is typed; targets are what it can be done to, of
// which it takes one.
func (p *sheet) command(v Verb, targets ...string) string {
	out := p.code("modelwarden review " + string(v) + " " + commandWord.Replace(oneLine(p.r.ID)))
	if len(targets) > 0 {
		out += " to " + strings.Join(each(targets[:min(len(targets), 5)], p.foreign), " or ")
	}
	return out
}

// commandWord keeps what is no id of ours from ending the code it stands in.
var commandWord = strings.NewReplacer("`", "'")
