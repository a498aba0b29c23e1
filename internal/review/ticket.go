package review

import "time"

// Ticket is what a target holds of a review: an alert, an incident, an issue, a
// message.
type Ticket struct {
	// Target is the target's name.
	Target string `json:"target"`
	// Ref is the tool's own id of the ticket, as the target's kind needs it to
	// find the ticket again; "" while there is none.
	Ref string `json:"ref,omitempty"`
	// URL leads people to the ticket, if it has an address.
	URL string `json:"url,omitempty"`
	// State is the review's state as the ticket shows it.
	State State `json:"state,omitempty"`
	// Severity is the review's severity as the ticket shows it.
	Severity Severity `json:"severity,omitempty"`
	// Shown is a digest of what was written last, for tools where writing the
	// same again is noticed. Its meaning is the target kind's.
	Shown string `json:"shown,omitempty"`
	// Rev is the review's revision that the ticket shows.
	Rev int `json:"rev,omitempty"`
	// Updated is when the ticket was last brought up to date, Failed the last
	// error since then, without secrets.
	Updated time.Time `json:"updated,omitzero"`
	Failed  string    `json:"failed,omitempty"`
	// Refresh asks to deliver again at this time, even when nothing has
	// changed; zero is never.
	Refresh time.Time `json:"refresh,omitzero"`
}

// News is what a change of a review brought, as a set.
type News uint16

// What can be new.
const (
	// NewsOpened: the review is new.
	NewsOpened News = 1 << iota
	// NewsReopened: it was resolved, and its cause came back.
	NewsReopened
	// NewsEscalated: nobody acknowledged it in time; another target is told,
	// or the same once more.
	NewsEscalated
	// NewsSeverity: it became more severe.
	NewsSeverity
	// NewsAcknowledged, NewsSnoozed, NewsResolved: it is in that state now.
	NewsAcknowledged
	NewsSnoozed
	NewsResolved
	// NewsAwake: a snooze or a silence ended, and it is open.
	NewsAwake
	// NewsComment: somebody wrote something.
	NewsComment
	// NewsCounted: more signals of the same, or another note; nobody needs to
	// hear of it at once.
	NewsCounted
	// NewsSilenced: a silence holds it now.
	NewsSilenced
)

// Has reports whether any of the others is new.
func (n News) Has(others News) bool { return n&others != 0 }

// Loud is what on-call is to be called for, rather than only shown.
const Loud = NewsOpened | NewsReopened | NewsEscalated | NewsSeverity | NewsAwake

// newsWords say what is new, the most important first.
var newsWords = []struct {
	news News
	word string
}{
	{NewsOpened, "opened"}, {NewsReopened, "reopened"}, {NewsEscalated, "escalated"}, {NewsSeverity, "more severe"},
	{NewsAwake, "open again"}, {NewsAcknowledged, "acknowledged"}, {NewsSnoozed, "snoozed"}, {NewsResolved, "resolved"},
	{NewsSilenced, "silenced"}, {NewsComment, "commented"}, {NewsCounted, "updated"},
}

// Word is the most important of the news in a word or two, "updated" where
// there is none.
func (n News) Word() string {
	for _, w := range newsWords {
		if n.Has(w.news) {
			return w.word
		}
	}
	return "updated"
}
