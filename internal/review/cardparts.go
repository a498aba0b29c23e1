package review

import (
	"cmp"
	"fmt"
	"strings"
)

// recently is how many of the newest windows a line counts.
const recently = 5

// wrong are the metrics against their thresholds. The reason is told along with
// them unless the decisions do.
func (p *sheet) wrong() []string {
	var out []string
	for i := range p.c.Measured {
		out = append(out, p.metric(&p.c.Measured[i]))
	}
	if p.r.Reason != "" && (len(out) == 0 || len(p.c.Why) == 0) {
		out = append(out, p.foreign(p.r.Reason))
	}
	return out
}

// metric is "PSI of age ····▅▇ 0.35 against 0.2, 2 of the last 5 windows".
func (p *sheet) metric(s *Series) string {
	name := p.foreign(s.Metric)
	if s.Feature != "" {
		name += " of " + p.foreign(s.Feature)
	}
	if s.Signal != "" {
		name += " in " + p.foreign(s.Signal)
	}
	breached, of := s.Breaches(recently)
	return fmt.Sprintf("%s %s %s, %d of the last %s", name, s.line(), against(s), breached, count(of, "window"))
}

// against sets the newest value beside the threshold.
func against(s *Series) string {
	out := "value unknown"
	if v := s.Newest(); v != nil {
		out = figure(*v)
	}
	if s.Threshold == nil {
		return out
	}
	out += " against " + figure(*s.Threshold)
	if s.LowerIsBad {
		out += " (lower is bad)"
	}
	return out
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// maxValues is how many values a line names.
const maxValues = 6

// why are the decisions; without one, the policies.
func (p *sheet) why() []string {
	var out []string
	for _, g := range p.c.Why {
		line := "policy " + p.foreign(g.Policy) + " (" + p.foreign(g.Verdict) + "): " + p.foreign(g.Reason)
		if len(g.Values) > 0 {
			line += "; " + p.foreign(strings.Join(g.Values[:min(len(g.Values), maxValues)], ", "))
		}
		if g.Window != "" {
			line += "; window " + p.foreign(g.Window)
		}
		out = append(out, line)
	}
	if len(out) == 0 && len(p.r.Policies) > 0 {
		out = append(out, "policy "+p.foreign(strings.Join(p.r.Policies, ", ")))
	}
	return out
}

func (p *sheet) changedSince() string {
	if p.c.LastHealthy.IsZero() {
		return "What changed"
	}
	return "What changed since it was last healthy, " + clock(p.c.LastHealthy)
}

// changed are the differences in the lineage, or that there is none.
func (p *sheet) changed() []string {
	var out []string
	for _, s := range p.c.Changed {
		line := clock(s.At) + " " + s.Kind + " " + p.foreign(s.Asset) + ": " + p.foreign(s.What)
		if s.At.After(p.r.Opened) {
			line += " (after this began)"
		}
		out = append(out, line)
	}
	if len(out) == 0 && !p.c.LastHealthy.IsZero() {
		out = append(out, "nothing that the lineage knows of")
	}
	return out
}

// deeds are actions, taken or held back.
func (p *sheet) deeds(all []Deed) []string {
	var out []string
	for _, d := range all {
		line := p.foreign(d.Type)
		if d.Target != "" {
			line += " on " + p.foreign(d.Target)
		}
		line += ": " + p.foreign(strings.ReplaceAll(d.State, "_", " "))
		if d.Text != "" {
			line += ", " + p.foreign(d.Text)
		}
		if _, ok := address(d.URL); ok {
			line += " " + p.link(d.URL)
		}
		if !d.At.IsZero() {
			line = clock(d.At) + " " + line
		}
		out = append(out, line)
	}
	return out
}

// similar are the reviews before this one and what ended them.
func (p *sheet) similar() []string {
	var out []string
	for _, s := range p.c.Similar {
		line := clock(s.Opened) + " " + p.foreign(s.Title)
		if s.SameCause {
			line += " (same cause)"
		}
		switch {
		case s.ResolvedAt.IsZero():
			line += ": not resolved yet"
		default:
			line += ": resolved after " + age(s.ResolvedAt.Sub(s.Opened)) + " by " + p.foreign(cmp.Or(s.ResolvedBy, "nobody known"))
		}
		if s.Resolution != "" {
			line += ": " + p.foreign(s.Resolution)
		}
		out = append(out, line+", review "+p.foreign(s.ID))
	}
	if len(out) == 0 && p.r.Previous != "" {
		out = append(out, "not the first time: see review "+p.foreign(p.r.Previous))
	}
	return out
}

// about names the model, whoever answers for it, the assets, what to do, and
// where else this is kept.
func (p *sheet) about() []string {
	var out []string
	add := func(name, value string) {
		if value != "" {
			out = append(out, name+" "+p.foreign(value))
		}
	}
	add("model", p.r.Model)
	add("owner", p.c.Owner)
	if p.c.Runbook != "" {
		out = append(out, "runbook "+p.link(p.c.Runbook))
	}
	for _, t := range p.c.Tickets {
		out = append(out, p.ticket(t))
	}
	if n := len(p.r.Assets) + p.r.AssetsDropped; n > 0 {
		shown := p.r.Assets[:min(len(p.r.Assets), 3)]
		line := count(n, "asset") + ": " + strings.Join(each(shown, p.foreign), ", ")
		if n > len(shown) {
			line += fmt.Sprintf(" and %d more", n-len(shown))
		}
		out = append(out, line)
	}
	return append(out, p.parts()...)
}

func (p *sheet) ticket(t Ticket) string {
	line := "ticket at " + p.foreign(t.Target)
	// Some kinds keep more in it than an id.
	if t.Ref != "" && !strings.HasPrefix(t.Ref, "{") {
		line += " " + p.foreign(t.Ref)
	}
	if _, ok := address(t.URL); ok {
		line += " " + p.link(t.URL)
	}
	if t.Failed != "" {
		line += ", not up to date: " + p.foreign(t.Failed)
	}
	return line
}

// parts are the causes that were put together.
func (p *sheet) parts() []string {
	if len(p.r.Parts) == 0 {
		return nil
	}
	passed := 0
	for _, part := range p.r.Parts {
		if !part.Passed.IsZero() {
			passed++
		}
	}
	out := []string{fmt.Sprintf("%s put together, %d of them passed", count(len(p.r.Parts), "cause"), passed)}
	var going []string
	for _, part := range p.r.Parts {
		if part.Passed.IsZero() && len(going) < 5 {
			going = append(going, p.foreign(cmp.Or(part.Model, part.Cause)))
		}
	}
	if len(going) > 0 {
		out = append(out, "still: "+strings.Join(going, ", "))
	}
	return out
}
