package policy

import (
	"fmt"
	"strings"
)

// Text writes the explanation for a terminal: policies that had nothing to do
// with the event in one line each, the others step by step.
func (e Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "event   %s\nkind    %s\nasset   %s\n", e.Event, e.Kind, e.Asset)
	if e.Model != "" {
		fmt.Fprintf(&b, "model   %s\n", e.Model)
	}
	for _, p := range e.Policies {
		b.WriteString("\n")
		p.text(&b)
	}
	switch len(e.Actions) {
	case 0:
		b.WriteString("\nNothing would be done.\n")
	default:
		b.WriteString("\nWould be done:\n")
		for _, a := range e.Actions {
			fmt.Fprintf(&b, "  %s → %s: %s\n", a.Type, a.Target, a.Title)
		}
	}
	return b.String()
}

func (p PolicyExplanation) text(b *strings.Builder) {
	mode := ""
	if p.Mode == ModeObserve {
		mode = " (observes)"
	}
	fmt.Fprintf(b, "policy %s%s\n", p.Policy, mode)
	for _, c := range p.Steps {
		mark := "yes"
		if !c.Passed {
			mark = "no "
		}
		what := c.Step
		indent := "  "
		if c.Step == "term" {
			indent = "      "
		}
		if c.Name != "" {
			what += " " + c.Name
		}
		fmt.Fprintf(b, "%s%s %s: %s\n", indent, mark, what, c.Detail)
	}
	for _, d := range p.Decisions {
		fmt.Fprintf(b, "  => %s (%s): %s\n", d.Verdict, d.Reason, d.Detail)
	}
}
