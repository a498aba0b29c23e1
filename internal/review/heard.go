package review

import "time"

// Heard is one thing that somebody did to a review's ticket in the tool that
// keeps it.
type Heard struct {
	// Key is the review's id, Ref the ticket's.
	Key, Ref string
	// Verb is Ack, Resolve, Remark or Reopen.
	Verb Verb
	// By names the person, and Why what they wrote; they may be empty.
	By, Why string
	// At is when they did it, by the tool's clock.
	At time.Time
	// ID names the tool's request, so that a repeat of it adds no second
	// comment.
	ID string
}
