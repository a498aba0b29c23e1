package effect

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// ticketStates are a tracker's own names for a review's states. Letters of
// either case are the same.
type ticketStates struct{ open, acknowledged, resolved string }

func newTicketStates(t policy.TicketStates, open, acknowledged, resolved string) ticketStates {
	return ticketStates{cmp.Or(t.Open, open), cmp.Or(t.Acknowledged, acknowledged), cmp.Or(t.Resolved, resolved)}
}

// of is the review's state that a name stands for, "" for none.
func (s ticketStates) of(name string) review.State {
	for _, state := range []review.State{review.Open, review.Acknowledged, review.Resolved} {
		if strings.EqualFold(s.name(state), name) {
			return state
		}
	}
	return ""
}

func (s ticketStates) name(state review.State) string {
	switch state {
	case review.Acknowledged:
		return s.acknowledged
	case review.Resolved:
		return s.resolved
	}
	return s.open
}

// String lists the names, for errors.
func (s ticketStates) String() string {
	return fmt.Sprintf("%q, %q and %q", s.open, s.acknowledged, s.resolved)
}
