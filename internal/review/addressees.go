package review

import "slices"

// quietNews is told of a review that a silence holds: it calls nobody.
const quietNews = NewsSilenced | NewsAcknowledged | NewsSnoozed | NewsResolved

// Addressees are the targets that the change is to be brought to.
func (c *Change) Addressees() []string {
	if c.News == 0 || c.Review.Silence != nil && !c.News.Has(quietNews) {
		return nil
	}
	return c.Review.Audience()
}

// NewsFor is what of the change's news one target hears. Nobody is called who
// was only told of the review by an escalation before the present one, and a
// step of an escalation calls those of that step; the others are only to know.
func (c *Change) NewsFor(target string) News {
	news, r := c.News, &c.Review
	if last, _ := r.Calls(); !slices.Contains(last, target) {
		news &^= NewsEscalated
	}
	if r.Silence != nil || !slices.Contains(r.Called(), target) {
		news &^= Loud
	}
	if news != c.News {
		news |= NewsCounted
	}
	return news
}
