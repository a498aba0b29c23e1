package review

import "time"

// newsBetween is what is new in a review since it was read. was is the zero
// Review for one that is new.
func newsBetween(was, r *Review) News {
	if was.ID == "" {
		return NewsOpened | when(r.State == Resolved, NewsResolved)
	}
	n := when(was.State == Resolved && r.State != Resolved, NewsReopened) |
		when(r.Escalated.After(was.Escalated), NewsEscalated) |
		when(r.Severity.Exceeds(was.Severity), NewsSeverity) |
		when(awake(was, r), NewsAwake) |
		when(was.Silence == nil && r.Silence != nil, NewsSilenced) |
		when(r.comments() > was.comments(), NewsComment)
	if r.State != was.State {
		n |= when(r.State == Acknowledged, NewsAcknowledged) | when(r.State == Snoozed, NewsSnoozed) | when(r.State == Resolved, NewsResolved)
		n |= when(r.State == Open && was.State == Acknowledged, NewsAwake)
	}
	if n == 0 {
		return NewsCounted
	}
	return n
}

// awake says whether a snooze or a silence ended and the review is open.
func awake(was, r *Review) bool {
	return r.State == Open && r.Silence == nil && (was.State == Snoozed || was.Silence != nil)
}

func (r *Review) comments() int { return len(r.Comments) + r.CommentsDropped }

func when(is bool, n News) News {
	if is {
		return n
	}
	return 0
}

// bundle makes one telling of the small news of a while.
func (d *Desk) bundle(r *Review) (News, time.Time) {
	now := d.now()
	if now.Before(r.NextUpdate) {
		return 0, time.Time{}
	}
	r.NextUpdate = now.Add(d.quietUpdates())
	return NewsCounted, r.NextUpdate
}

// quietUpdates is how long a change that nobody needs to hear of at once waits
// for others of its kind.
func (d *Desk) quietUpdates() time.Duration {
	if every := d.rules().UpdateEvery; every > 0 {
		return every
	}
	return 5 * time.Minute
}
