package review

import (
	"fmt"
	"strings"
	"time"
)

// Verb is what a person does to a review.
type Verb string

// The verbs of on-call.
const (
	Ack     Verb = "ack"
	Snooze  Verb = "snooze"
	Resolve Verb = "resolve"
	Remark  Verb = "comment"
	// Reopen takes a resolution back.
	Reopen Verb = "reopen"
	// RetrainNow, RollBackNow and SilenceIt are on a card's list of what can be done,
	// but change something else than the review.
	RetrainNow  Verb = "retrain"
	RollBackNow Verb = "rollback"
	SilenceIt   Verb = "silence"
)

// Verbs lists the verbs that a Command can have.
func Verbs() []Verb { return []Verb{Ack, Snooze, Resolve, Remark, Reopen} }

// MaxSnooze is the longest a review may be put to sleep.
const MaxSnooze = 30 * 24 * time.Hour

// Command is one verb with its particulars.
type Command struct {
	Verb Verb
	// By names the person; at most 200 bytes, required.
	By string
	// Why is the reason, a comment's text, or what a resolution found as the
	// cause; at most 2,000 bytes. A comment must have one.
	Why string
	// Until is for Snooze: later than now, at most MaxSnooze away.
	Until time.Time
	// Version, when set, is the Review.Version that the person looked at:
	// the command is refused with ErrStale when the review has changed since.
	Version string
	// Key, for a comment, names what brought it: a comment of the same key is
	// not added again.
	Key string
}

// CommandError means that a command can't be carried out on any review.
type CommandError struct {
	// Field is the part of the command that is wrong.
	Field string
	// Problem says what is wrong with it and what would be right.
	Problem string
}

// Error implements error.
func (e *CommandError) Error() string { return e.Field + ": " + e.Problem }

// TransitionError means that the review's state does not allow the verb.
type TransitionError struct {
	ID   string
	From State
	Verb Verb
	// Why says more; it may be empty.
	Why string
}

// Error implements error.
func (e *TransitionError) Error() string {
	why := e.Why
	if why == "" {
		why = "reopen it, or wait: a new signal of its cause opens another"
	}
	return fmt.Sprintf("review %s is %s and can't take %q: %s", e.ID, e.From, e.Verb, why)
}

// check refuses a command that is wrong whatever the review.
func (c *Command) check(now time.Time) error {
	if _, known := moves[Open][c.Verb]; !known {
		return &CommandError{"verb", fmt.Sprintf("%q: want ack, snooze, resolve, reopen or comment", clip(string(c.Verb), 40))}
	}
	if strings.TrimSpace(c.By) == "" {
		return &CommandError{"by", "say who does this"}
	}
	if len(c.By) > maxName {
		return &CommandError{"by", fmt.Sprintf("%d bytes: at most %d", len(c.By), maxName)}
	}
	if len(c.Why) > maxText {
		return &CommandError{"why", fmt.Sprintf("%d bytes: at most %d", len(c.Why), maxText)}
	}
	if c.Verb == Remark && strings.TrimSpace(c.Why) == "" {
		return &CommandError{"why", "a comment needs a text"}
	}
	return c.checkUntil(now)
}

func (c *Command) checkUntil(now time.Time) error {
	switch {
	case c.Verb != Snooze && !c.Until.IsZero():
		return &CommandError{"until", fmt.Sprintf("only snooze has an end, not %s", c.Verb)}
	case c.Verb == Snooze && !c.Until.After(now):
		return &CommandError{"until", "a snooze needs an end that is later than now"}
	case c.Verb == Snooze && c.Until.Sub(now) > MaxSnooze:
		return &CommandError{"until", "a snooze lasts at most 30 days"}
	}
	return nil
}
