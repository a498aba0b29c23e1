package review

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Signal is one reason to look: what a review action brings to the desk.
type Signal struct {
	// Cause groups signals into reviews; required, any text.
	Cause string
	// Key is the action's idempotency key; required. The same key is never
	// merged twice.
	Key string
	// At is when it happened, by the event's own clock. It decides whether a
	// pass came later, in whatever order the two arrive.
	At time.Time
	// Event is the event's log key.
	Event string
	// Window, if there is one, is the measured window; see Passing.Window.
	Window string
	// Title and Reason are sentences for people; Text, if set, is what the
	// list of signals shows instead of Reason.
	Title, Reason, Text string
	Severity            Severity
	// AckWithin is the time to an acknowledgement; zero is no deadline.
	AckWithin time.Duration
	// Target is who is told, by name; "" is nobody beyond the inbox. Chain is
	// who is told next while nobody acknowledges, Repeat how often all of them
	// are told again after that.
	Target string
	Chain  []Rung
	Repeat int
	// Grace is how long a new review waits with its first calls.
	Grace time.Duration
	// Part is the signal's own cause, where Cause is what several causes have in
	// common; "" where it has only the one.
	Part string
	// Runbook is an address.
	Runbook string
	// Asset and Model are asset ids; Workspace an alias; Policy a name.
	Asset, Model, Workspace, Policy string
}

// check refuses what could never be filed; it fills in defaults.
func (s *Signal) check() error {
	if s.Cause == "" || s.Key == "" {
		return fmt.Errorf("signal of policy %q: it has no cause or no key", s.Policy)
	}
	if len(s.Key) > maxName {
		return fmt.Errorf("signal of policy %q: its key has %d bytes, at most %d", s.Policy, len(s.Key), maxName)
	}
	if s.At.IsZero() {
		return fmt.Errorf("signal %s: it has no time", s.Key)
	}
	s.At = s.At.UTC()
	var err error
	if s.Severity, err = ParseSeverity(string(s.Severity)); err != nil {
		return fmt.Errorf("signal %s: %w", s.Key, err)
	}
	return nil
}

// opened makes a new review of a signal.
func opened(s Signal, id, previous string, now time.Time) Review {
	r := Review{
		ID: id, Cause: clip(s.Cause, maxText), Previous: previous,
		Severity: s.Severity, Opened: now, Unresolved: now, AckWithin: Interval(max(s.AckWithin, 0)),
	}
	if s.Grace > 0 {
		r.CallsFrom = now.Add(s.Grace)
	}
	why := clip(s.Title, maxText)
	if previous != "" {
		why = "the cause is back after review " + previous
	}
	r.enter(Open, Transition{At: now, By: System, Why: why})
	r.merge(s, now)
	return r
}

// merge adds a signal to a review that is not resolved. A repeat on one that is
// acknowledged or snoozed only counts, unless it is more severe.
func (r *Review) merge(s Signal, now time.Time) {
	r.Advance(now)
	worse := s.Severity.Exceeds(r.Severity)
	if worse && s.Grace <= 0 {
		r.CallsFrom = time.Time{} // what can't wait ends the wait of what could
	}
	if worse || s.Severity == r.Severity && r.saysMore(s) {
		r.Title, r.Reason = clip(s.Title, maxText), clip(s.Reason, maxText)
	}
	r.count(s)
	r.beat(now)
	r.name(s)
	r.addressees(s, worse)
	r.partSignalled(s)
	r.touch(now)
	if r.Pending != nil && s.At.After(r.Pending.At) {
		r.Pending, r.ResolveAt = nil, time.Time{}
		if r.AckBy.Before(now) && !r.AckBy.IsZero() {
			// It passed while nobody was called for it. It counts from now on, or
			// the whole chain would be called at once.
			r.AckBy = now
		}
		r.record(Transition{At: now, By: System, From: r.State, To: r.State, Why: "the cause is back, it does not resolve by itself for now"})
	}
	if worse {
		r.raiseSeverity(s.Severity, now)
	}
	switch {
	case r.State != Open:
	case r.Escalated.IsZero() || worse && !r.AckBy.IsZero():
		r.demandAck(now, s.AckWithin)
	case r.AckBy.IsZero() && (r.hasNext() || worse):
		// The escalation was at its end. This signal moved that, or is more
		// severe than what all of them were called for.
		if !r.hasNext() {
			r.Level, r.Round = 0, 0
		}
		r.demandAck(now, time.Duration(r.AckWithin))
	}
	r.Advance(now)
}

// saysMore says whether a signal knows better what the review is about: one that
// happened later does, and of several with a common cause, whatever their order,
// the one that has more to say of it, for it names more of them.
func (r *Review) saysMore(s Signal) bool {
	if s.Part != "" {
		return len(clip(s.Reason, maxText)) >= len(r.Reason)
	}
	return !s.At.Before(r.LastSignal)
}

// addressees notes whom a signal asks to tell. The chain is the most severe
// signal's, and among equals the first's that has one.
func (r *Review) addressees(s Signal, worse bool) {
	if within := Interval(s.AckWithin); within > 0 && (r.AckWithin == 0 || within < r.AckWithin) {
		r.AckWithin = within
	}
	if s.Target != "" && !slices.Contains(r.Targets, s.Target) && len(r.Targets) < MaxTargets {
		r.Targets = append(r.Targets, s.Target)
	}
	if len(s.Chain) > 0 && (worse || len(r.Chain) == 0) {
		r.Chain, r.Repeat = s.Chain[:min(len(s.Chain), MaxChain)], s.Repeat
		r.Level = min(r.Level, len(r.Chain))
	}
	if len(r.Chain) == 0 {
		r.Repeat = max(r.Repeat, s.Repeat)
	}
	r.Runbook = cmp.Or(r.Runbook, clip(s.Runbook, maxText))
}

// beat counts a signal into the hour in which it was filed.
func (r *Review) beat(now time.Time) {
	hour := now.UTC().Truncate(time.Hour)
	if n := len(r.Pulse); n > 0 && !r.Pulse[n-1].Hour.Before(hour) {
		r.Pulse[n-1].N++
		return
	}
	r.Pulse = append(r.Pulse, Beat{Hour: hour, N: 1})
	r.Pulse = slices.Clone(r.Pulse[max(0, len(r.Pulse)-MaxPulse):])
}

// count files the signal among the newest, by its own time.
func (r *Review) count(s Signal) {
	r.Count++
	if s.At.After(r.LastSignal) {
		r.LastSignal = s.At
	}
	n := Note{At: s.At, Key: s.Key, Event: s.Event, Text: clip(cmp.Or(s.Text, s.Reason), maxText), Window: clip(s.Window, maxText)}
	at, _ := slices.BinarySearchFunc(r.Signals, n, newestFirst)
	r.Signals = slices.Insert(r.Signals, at, n)
	r.Signals = r.Signals[:min(len(r.Signals), MaxSignals)]
}

func newestFirst(a, b Note) int {
	return cmp.Or(b.At.Compare(a.At), strings.Compare(a.Key, b.Key))
}

// name adds whom and what the signal speaks of.
func (r *Review) name(s Signal) {
	r.Model = cmp.Or(r.Model, s.Model)
	r.Workspace = cmp.Or(r.Workspace, s.Workspace)
	if s.Asset != "" && !slices.Contains(r.Assets, s.Asset) {
		if len(r.Assets) < MaxAssets {
			r.Assets = append(r.Assets, s.Asset)
		} else {
			r.AssetsDropped++
		}
	}
	if s.Policy != "" && !slices.Contains(r.Policies, s.Policy) && len(r.Policies) < MaxPolicies {
		r.Policies = append(r.Policies, s.Policy)
	}
}
