package effect_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

func newSlacked(t *testing.T) (*fakeSlack, *messaged) {
	t.Helper()
	f := newFakeSlack(t)
	m := newMessaged(t, f.target())
	f.clock = m.clock
	return f, m
}

// only is the message of a channel with one, and its replies.
func (f *fakeSlack) only() (*slackPosted, []*slackPosted) {
	f.t.Helper()
	messages, replies := f.shown()
	if len(messages) != 1 {
		f.t.Fatalf("%d messages", len(messages))
	}
	return messages[0], replies
}

func TestSlackShowsAReviewAsOneMessage(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	posted, replies := f.only()
	for _, part := range []string{"WARNING: churn drifts", "PSI 0.35 over 0.2", m.card.URL, m.card.Runbook, "risk team", `"user_id":"U0123456789"`, `"usergroup_id":"S0123456789"`, `"range":"here"`, pagedID} {
		if !strings.Contains(posted.says(), part) {
			t.Errorf("no %q in %s", part, posted.says())
		}
	}
	want := review.Ticket{
		Target: "oncall", Ref: slackChannel + ":" + posted.TS, URL: "https://contoso.slack.com/archives/" + slackChannel + "/p" + strings.ReplaceAll(posted.TS, ".", ""),
		State: review.Open, Severity: review.Warning, Rev: 1, Updated: m.now, Shown: m.ticket.Shown,
	}
	if m.ticket != want || len(replies) != 0 || m.ticket.Shown == "" {
		t.Errorf("%+v with %d replies", m.ticket, len(replies))
	}
	calls := len(f.asked())
	m.opened()
	m.deliver(review.NewsCounted)
	if asked := f.asked(); len(asked) != calls {
		t.Errorf("the same again: %q", asked[calls:])
	}
}

// What only informs edits the message; what calls is a reply besides.
func TestSlackEditsQuietlyAndRepliesLoudly(t *testing.T) {
	for name, tc := range map[string]struct {
		news  review.News
		do    func(*review.Review, time.Time)
		says  string
		calls bool
	}{
		"counted": {review.NewsCounted, counted, "Signals: ", false},
		"comment": {review.NewsComment, func(r *review.Review, now time.Time) {
			r.Comments = []review.Comment{{At: now, By: "Bob", Text: "new feed"}}
		}, "Bob: new feed", false},
		"escalated": {review.NewsEscalated, escalate, "ESCALATED: nobody acknowledged it", true},
		"severity":  {review.NewsSeverity, worsen, "CRITICAL: churn drifts", true},
		"awake":     {review.NewsAwake, func(r *review.Review, now time.Time) { r.OpenSince = now }, "open since", true},
	} {
		f, m := newSlacked(t)
		m.opened()
		m.change(tc.news, tc.do)
		posted, replies := f.only()
		if posted.edits != 1 || !strings.Contains(posted.says(), strings.Split(tc.says, ": ")[0]) {
			t.Errorf("%s: %d edits: %s", name, posted.edits, posted.says())
		}
		if called := len(replies) == 1; called != tc.calls {
			t.Fatalf("%s: %d replies", name, len(replies))
		}
		if tc.calls && (replies[0].Thread != posted.TS || !replies[0].Broadcast || !strings.Contains(replies[0].says(), `"user_id":"U0123456789"`) || !strings.Contains(replies[0].Text, strings.ToUpper(tc.news.Word()))) {
			t.Errorf("%s: %s", name, replies[0].says())
		}
		m.deliver(tc.news)
		if again, replies := f.only(); again.edits != 1 || len(replies) > 1 {
			t.Errorf("%s again: %d edits, %d replies", name, again.edits, len(replies))
		}
	}
}

func TestSlackFollowsAReviewToItsEndAndBack(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	m.act(review.NewsAcknowledged, review.Command{Verb: review.Ack})
	if posted, _ := f.only(); !strings.Contains(posted.says(), "acknowledged by Ada") || strings.Contains(posted.says(), "U0123456789") || m.ticket.State != review.Acknowledged {
		t.Errorf("%+v: %s", m.ticket, posted.says())
	}
	m.act(review.NewsSnoozed, review.Command{Verb: review.Snooze, Until: m.now.Add(time.Hour)})
	m.act(review.NewsResolved, review.Command{Verb: review.Resolve, Why: "feed repaired"})
	if posted, replies := f.only(); !strings.Contains(posted.says(), "resolved by Ada") || !strings.Contains(posted.says(), "feed repaired") || len(replies) != 0 {
		t.Errorf("%d replies: %s", len(replies), posted.says())
	}
	m.change(review.NewsReopened, reopen)
	posted, replies := f.only()
	if len(replies) != 1 || !strings.HasPrefix(replies[0].Text, "REOPENED") || posted.edits != 4 {
		t.Errorf("%d edits, %d replies", posted.edits, len(replies))
	}
}

// Nobody is shown what is to be left alone. Those who were, see that it is.
func TestAReviewThatIsToBeLeftAloneIsNotPostedInSlack(t *testing.T) {
	for name, tc := range map[string]struct {
		quiet func(*review.Review)
		says  string
	}{
		"silenced": {func(r *review.Review) { r.Silence = &review.Silenced{ID: "s1", By: "Ada", Until: t0.Add(time.Hour)} }, "silenced by Ada"},
		"snoozed":  {func(r *review.Review) { r.State, r.SnoozedUntil = review.Snoozed, t0.Add(time.Hour) }, "snoozed until"},
	} {
		f, m := newSlacked(t)
		tc.quiet(m.review())
		m.deliver(review.NewsCounted)
		if messages, _ := f.shown(); len(messages) != 0 || m.ticket.Ref != "" {
			t.Errorf("%s: %d messages, %+v", name, len(messages), m.ticket)
		}
		m.change(review.NewsAwake, func(r *review.Review, _ time.Time) { r.State, r.Silence = review.Open, nil })
		m.change(review.NewsSeverity, func(r *review.Review, _ time.Time) { r.Severity = review.Critical; tc.quiet(r) })
		posted, replies := f.only()
		if len(replies) != 0 || strings.Contains(posted.says(), "U0123456789") || !strings.Contains(posted.says(), tc.says) {
			t.Errorf("%s: %d replies: %s", name, len(replies), posted.says())
		}
	}
}

func TestAnAcknowledgedReviewIsPostedInSlackWithoutMentions(t *testing.T) {
	f, m := newSlacked(t)
	m.act(review.NewsOpened|review.NewsAcknowledged, review.Command{Verb: review.Ack})
	if posted, _ := f.only(); strings.Contains(posted.says(), "U0123456789") || !strings.Contains(posted.says(), "acknowledged by Ada") {
		t.Error(posted.says())
	}
}

func TestALostAnswerOfSlacksIsOneMessage(t *testing.T) {
	f, m := newSlacked(t)
	f.set(pagingFaults{after: dropOnce(http.MethodPost, "chat.postMessage")})
	if err := m.try(review.NewsOpened); err == nil || isPermanent(err) {
		t.Fatalf("got %v", err)
	}
	f.talk(3) // more than a page of it
	m.deliver(review.NewsOpened)
	messages, _ := f.shown()
	posted := messages[0]
	if len(messages) != 4 || m.ticket.Ref != slackChannel+":"+posted.TS || m.ticket.URL == "" {
		t.Errorf("%d messages, %+v", len(messages), m.ticket)
	}
	// What calls since that post calls people all the same, once.
	m.ticket = review.Ticket{}
	m.change(review.NewsOpened|review.NewsEscalated, escalate)
	m.ticket = review.Ticket{}
	m.deliver(review.NewsOpened | review.NewsEscalated)
	if _, replies := f.shown(); len(replies) != 1 || !strings.HasPrefix(replies[0].Text, "ESCALATED") {
		t.Errorf("%d replies", len(replies))
	}
}

// The first post has called people already: its adoption calls nobody, nor when
// more signals came meanwhile.
func TestAdoptingInSlackCallsNobodyTwice(t *testing.T) {
	for name, then := range map[string]func(*messaged){
		"the same": func(m *messaged) { m.deliver(review.NewsOpened | review.NewsEscalated) },
		"more of it": func(m *messaged) {
			m.change(review.NewsOpened|review.NewsCounted, counted)
		},
	} {
		f, m := newSlacked(t)
		f.set(pagingFaults{after: dropOnce(http.MethodPost, "chat.postMessage")})
		if err := m.try(review.NewsOpened); err == nil {
			t.Fatal("the answer was lost")
		}
		then(m)
		if _, replies := f.only(); len(replies) != 0 {
			t.Errorf("%s: %d replies", name, len(replies))
		}
	}
}

// Once gone by hand, what is over stays gone.
func TestADeletedMessageOfWhatIsOverStaysDeleted(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	f.remove(strings.Split(m.ticket.Ref, ":")[1])
	m.act(review.NewsResolved, review.Command{Verb: review.Resolve})
	if messages, _ := f.shown(); len(messages) != 0 || m.ticket.Ref != "" || m.ticket.State != review.Resolved {
		t.Errorf("%d messages, %+v", len(messages), m.ticket)
	}
}

func TestALostAnswerToAReplyIsOneReply(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	f.set(pagingFaults{after: dropOnce(http.MethodPost, "chat.postMessage")})
	m.commit(escalate)
	if err := m.try(review.NewsEscalated); err == nil {
		t.Fatal("the answer was lost")
	}
	m.deliver(review.NewsEscalated)
	if _, replies := f.only(); len(replies) != 1 {
		t.Errorf("%d replies", len(replies))
	}
	m.change(review.NewsEscalated, escalate)
	if _, replies := f.only(); len(replies) != 2 {
		t.Errorf("another escalation: %d replies", len(replies))
	}
}

func TestOfSeveralMessagesTheNewestIsAdopted(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	f.refuses("conversations.history", "missing_scope") // so it posts another
	m.ticket = review.Ticket{}
	m.opened()
	f.refuses("conversations.history", "")
	m.ticket = review.Ticket{}
	m.opened()
	messages, _ := f.shown()
	if len(messages) != 2 || m.ticket.Ref != slackChannel+":"+messages[1].TS {
		t.Errorf("%d messages, %s", len(messages), m.ticket.Ref)
	}
}

func TestSlackPostsWhereItMayNotLook(t *testing.T) {
	f, m := newSlacked(t)
	f.history = false
	m.opened()
	m.change(review.NewsEscalated, escalate)
	if _, replies := f.only(); len(replies) != 1 {
		t.Errorf("%d replies", len(replies))
	}
}

// A crash after the edit of an adopted message must not swallow the reply.
func TestAnAdoptedMessageStillCalls(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	m.ticket = review.Ticket{}
	m.commit(escalate)
	f.refuses("chat.postMessage", "internal_error")
	if err := m.try(review.NewsEscalated); err == nil {
		t.Fatal("it could not reply")
	}
	f.refuses("chat.postMessage", "")
	m.deliver(review.NewsEscalated)
	if _, replies := f.only(); len(replies) != 1 {
		t.Errorf("%d replies", len(replies))
	}
}

// A look-up begins early enough for a clock that is behind ours.
func TestSlacksClockMayBeBehind(t *testing.T) {
	f, m := newSlacked(t)
	f.clock = func() time.Time { return m.clock().Add(-5 * time.Minute) }
	m.opened()
	m.ticket = review.Ticket{}
	m.opened()
	m.change(review.NewsEscalated, escalate)
	m.ticket.Rev--
	m.deliver(review.NewsEscalated)
	if _, replies := f.only(); len(replies) != 1 {
		t.Errorf("%d replies", len(replies))
	}
}

func TestAMessageDeletedByHandIsPostedAgain(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	before := m.ticket
	f.remove(strings.Split(before.Ref, ":")[1])
	m.change(review.NewsSeverity, worsen)
	if posted, replies := f.only(); m.ticket.Ref == before.Ref || m.ticket.URL == before.URL || len(replies) != 0 || !strings.Contains(posted.says(), "CRITICAL") {
		t.Errorf("%+v", m.ticket)
	}
}

// A message that another app posted can't be edited by this one.
func TestAMessageOfAnotherAppsIsPostedAgain(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	before := m.ticket
	f.refuses("chat.update", "cant_update_message")
	m.change(review.NewsSeverity, worsen)
	if messages, _ := f.shown(); len(messages) != 2 || m.ticket.Ref != slackChannel+":"+messages[1].TS || m.ticket.Ref == before.Ref {
		t.Errorf("%d messages, %+v", len(messages), m.ticket)
	}
}

func TestSlackAdoptsNoOtherReviewsMessage(t *testing.T) {
	f, m := newSlacked(t)
	m.opened()
	posted, _ := f.only()
	posted.Metadata["event_payload"].(map[string]any)["key"] = "another-review-1"
	m.ticket = review.Ticket{}
	m.opened()
	if messages, _ := f.shown(); len(messages) != 2 || messages[0].edits != 0 {
		t.Errorf("%d messages, %d edits", len(messages), messages[0].edits)
	}
}

func TestSlackFindsAChannelByItsName(t *testing.T) {
	f := newFakeSlack(t)
	target := f.target()
	target.Slack.Channel = "#oncall"
	m := newMessaged(t, target)
	m.opened()
	if slices.Contains(f.asked(), "conversations.history") {
		t.Error("a name can't be looked through")
	}
	m.change(review.NewsCounted, counted)
	m.ticket = review.Ticket{}
	m.deliver(review.NewsCounted)
	if posted, _ := f.only(); posted.edits != 2 || !strings.HasPrefix(m.ticket.Ref, slackChannel+":") {
		t.Errorf("%d edits, %+v", posted.edits, m.ticket)
	}
}

func TestAReviewThatWasOverBeforeAnybodyKnewIsNotToldInSlack(t *testing.T) {
	f, m := newSlacked(t)
	m.act(review.NewsResolved, review.Command{Verb: review.Resolve})
	if messages, _ := f.shown(); len(messages) != 0 || m.ticket.Ref != "" || m.ticket.State != review.Resolved {
		t.Errorf("%d messages, %+v", len(messages), m.ticket)
	}
}

func TestASlackNoticeIsToldOnce(t *testing.T) {
	f, m := newSlacked(t)
	f.set(pagingFaults{after: dropOnce(http.MethodPost, "chat.postMessage")})
	if err := notify(m); err == nil {
		t.Error("the answer was lost")
	}
	if err := notify(m); err != nil {
		t.Fatal(err)
	}
	if posted, _ := f.only(); !strings.Contains(posted.says(), "INFO: churn was retrained") || strings.Contains(posted.says(), "U0123456789") || strings.Contains(posted.says(), "since") {
		t.Error(posted.says())
	}
}

func TestSlackTargetsAreChecked(t *testing.T) {
	f := newFakeSlack(t)
	target := f.target()
	target.Slack.URL = "ftp://slack.contoso.example"
	refusedTarget(t, target, pagerKey, "targets.oncall.slack.url: ")
	refusedTarget(t, f.target(), pagerKey+"\n", "targets.oncall.slack.token: ")
	refusedTarget(t, f.target(), "", "targets.oncall.slack.tokenEnv: ")
}
