package effect_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

const (
	teamsPath = "/workflows/4f1d2c3b5a697887/triggers/manual/paths/invoke"
	teamsSig  = "Zk3vYw-s1gnature_of-the-w0rkflow"
)

// fakeTeams is a Teams workflow. It checks each message against the schema of
// testdata and its card against the published one, and keeps the cards.
type fakeTeams struct {
	*httptest.Server
	t      *testing.T
	mu     sync.Mutex
	card   *jsonschema.Schema
	cards  []string
	faults pagingFaults
}

func newFakeTeams(t *testing.T) *fakeTeams {
	t.Helper()
	f := &fakeTeams{t: t, card: publishedSchema(t, "adaptive-card.json", "")}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// address is the workflow's, which is the target's secret.
func (f *fakeTeams) address() string {
	return f.URL + teamsPath + "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=" + teamsSig
}

func newTeamsed(t *testing.T) (*fakeTeams, *messaged) {
	t.Helper()
	f := newFakeTeams(t)
	all, err := effect.NewTicketers(
		map[string]policy.Target{"oncall": {Teams: &policy.TeamsTarget{Token: policy.Token{TokenEnv: "TEAMS_URL"}}}},
		effect.Deps{AllowLoopback: true, Version: "test", LookupEnv: func(string) (string, bool) { return f.address(), true }},
	)
	if err != nil {
		t.Fatal(err)
	}
	m := &messaged{newPaged(t, all["oncall"])}
	m.review().Rev = 1
	return f, m
}

func (f *fakeTeams) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	if r.Method != http.MethodPost || r.URL.Path != teamsPath || q.Get("sig") != teamsSig || q.Get("sp") != "/triggers/manual/run" || q.Get("sv") != "1.0" || q.Get("api-version") == "" {
		f.t.Errorf("%s %s", r.Method, r.URL)
	}
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("User-Agent") != "modelwarden/test" {
		f.t.Errorf("header %s", r.Header)
	}
	if f.faults.before != nil && f.faults.before(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || !f.accepts(body) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.cards = append(f.cards, string(body))
	if f.faults.after != nil {
		f.faults.after(w, r)
	}
	w.WriteHeader(http.StatusAccepted)
}

func (f *fakeTeams) accepts(body []byte) bool {
	var m struct {
		Attachments []struct{ Content json.RawMessage }
	}
	err := conforms(publishedSchema(f.t, "teams.json", "message"), body, &m)
	if err == nil {
		err = conforms(f.card, m.Attachments[0].Content, new(any))
	}
	for _, part := range append(activeParts, "{{DATE") {
		if strings.Contains(string(body), part) {
			f.t.Errorf("%q in %s", part, body)
		}
	}
	if err != nil || len(body) > 28<<10 {
		f.t.Errorf("%d bytes: %v\n%s", len(body), err, body)
	}
	return err == nil
}

func (f *fakeTeams) set(faults pagingFaults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// count is how many cards there are, and the newest of them.
func (f *fakeTeams) count() (int, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.cards) == 0 {
		return 0, ""
	}
	return len(f.cards), f.cards[len(f.cards)-1]
}

func TestTeamsShowsWhatIsWrong(t *testing.T) {
	f, m := newTeamsed(t)
	m.opened()
	n, card := f.count()
	for _, part := range []string{"WARNING: churn drifts", "PSI 0.35 over 0.2", m.card.URL, m.card.Runbook, "risk team", "open since 2026-03-02 10:00Z", `"style":"warning"`, pagedID} {
		if !strings.Contains(card, part) {
			t.Errorf("no %q in %s", part, card)
		}
	}
	want := review.Ticket{Target: "oncall", Ref: pagedID, State: review.Open, Severity: review.Warning, Rev: 1, Updated: m.now}
	if n != 1 || m.ticket != want {
		t.Errorf("%d cards, %+v", n, m.ticket)
	}
}

// What is not worth a message waits for what is.
func TestTeamsIsToldWhatIsWorthAMessage(t *testing.T) {
	f, m := newTeamsed(t)
	for _, step := range []struct {
		news  review.News
		do    func(*review.Review, time.Time)
		cards int
		says  string
	}{
		{review.NewsOpened, func(*review.Review, time.Time) {}, 1, "WARNING"},
		{review.NewsCounted, counted, 1, ""},
		{review.NewsComment, counted, 1, ""},
		{review.NewsEscalated, escalate, 2, "WARNING: churn drifts (escalated)"},
		{review.NewsSeverity | review.NewsCounted, worsen, 3, "CRITICAL: churn drifts (more severe)"},
		{review.NewsAcknowledged, applied(t, review.Command{Verb: review.Ack, By: "Ada"}), 4, "acknowledged by Ada"},
		{review.NewsSnoozed, applied(t, review.Command{Verb: review.Snooze, By: "Ada", Until: t0.Add(9 * time.Hour)}), 4, ""},
		{review.NewsResolved, applied(t, review.Command{Verb: review.Resolve, By: "Ada", Why: "feed repaired"}), 5, `"style":"good"`},
		{review.NewsReopened, reopen, 6, "(reopened)"},
		{review.NewsAwake, func(r *review.Review, _ time.Time) { r.Silence = &review.Silenced{By: "Ada", Until: t0.Add(time.Hour)} }, 6, ""},
	} {
		m.change(step.news, step.do)
		m.deliver(step.news) // the same again
		if n, card := f.count(); n != step.cards || !strings.Contains(card, step.says) {
			t.Fatalf("%s: %d cards, the last %s", step.news.Word(), n, card)
		}
		if m.ticket.Rev != m.review().Rev || m.ticket.Ref != pagedID {
			t.Errorf("%s: %+v", step.news.Word(), m.ticket)
		}
	}
}

// applied is a command as a change.
func applied(t *testing.T, c review.Command) func(*review.Review, time.Time) {
	return func(r *review.Review, now time.Time) {
		t.Helper()
		if _, err := r.Apply(c, now); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTeamsIsNotToldOfWhatIsQuiet(t *testing.T) {
	f, m := newTeamsed(t)
	m.review().Silence = &review.Silenced{By: "Ada", Until: t0.Add(time.Hour)}
	m.deliver(review.NewsCounted)
	m.review().Silence = nil
	m.change(review.NewsResolved, applied(t, review.Command{Verb: review.Resolve, By: "Ada"}))
	if n, _ := f.count(); n != 0 || m.ticket.Ref != "" {
		t.Errorf("%d cards, %+v", n, m.ticket)
	}
	m.change(review.NewsReopened, reopen)
	if n, _ := f.count(); n != 1 || m.ticket.Ref == "" {
		t.Errorf("%d cards, %+v", n, m.ticket)
	}
}

// The answer of a workflow names no message, and nothing can be looked up: the
// card is posted again, and says whose it is.
func TestALostAnswerOfTeamsMayBeTwoCards(t *testing.T) {
	f, m := newTeamsed(t)
	f.set(pagingFaults{after: dropOnce(http.MethodPost, teamsPath)})
	if err := m.try(review.NewsOpened); err == nil || isPermanent(err) {
		t.Fatalf("got %v", err)
	}
	m.opened()
	if n, card := f.count(); n != 2 || !strings.Contains(card, pagedID) {
		t.Errorf("%d cards", n)
	}
}

func TestATeamsNoticeIsToldAndNotKept(t *testing.T) {
	f, m := newTeamsed(t)
	if err := notify(m); err != nil {
		t.Fatal(err)
	}
	if n, card := f.count(); n != 1 || !strings.Contains(card, "INFO: churn was retrained") || strings.Contains(card, "since") {
		t.Errorf("%d: %s", n, card)
	}
}

func TestTeamsRefusalsAreSorted(t *testing.T) {
	for status, tc := range map[int]struct {
		permanent bool
		after     time.Duration
		says      string
	}{
		400: {true, 0, "When a Teams webhook request is received"}, 401: {true, 0, "copy it again"}, 403: {true, 0, "copy it again"},
		404: {true, 0, "make another"}, 410: {true, 0, "make another"}, 413: {true, 0, "report it"},
		429: {false, 17 * time.Second, ""}, 500: {false, 17 * time.Second, ""}, 502: {false, 17 * time.Second, ""},
	} {
		f, m := newTeamsed(t)
		f.set(pagingFaults{before: func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, f.address()+" "+r.URL.RequestURI()+" "+teamsSig)
			return true
		}})
		err := m.try(review.NewsOpened)
		if err == nil || isPermanent(err) != tc.permanent || retryAfter(err) != tc.after || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%d: %v", status, err)
		}
		if text := err.Error(); strings.Contains(text, teamsSig) || strings.Contains(text, teamsPath) || !strings.Contains(text, f.URL) {
			t.Errorf("%d shows the address, or not the host: %v", status, err)
		}
	}
}

func TestTeamsIsToldNothingThatActs(t *testing.T) {
	for name, make := range map[string]func(*messaged){"hostile": (*messaged).hostile, "huge": (*messaged).huge} {
		f, m := newTeamsed(t)
		make(m)
		m.review().Reason = "- {{DATE(2026-01-01T00:00:00Z)}} [click](https://evil.contoso.example) **bold**" + m.review().Reason
		m.opened()
		if n, card := f.count(); n != 1 || strings.Contains(card, "[click]") || strings.Contains(card, " **bold") || strings.Contains(card, `"value":"- `) {
			t.Errorf("%s: %d: %s", name, n, card)
		}
	}
}

// A text run is not Markdown, but a card's functions act in it too.
func TestNothingIsEvaluatedInTeams(t *testing.T) {
	f, m := newTeamsed(t)
	m.review().Title = "{{DATE(2026-01-01T00:00:00Z)}}"
	m.opened()
	if n, card := f.count(); n != 1 || !strings.Contains(card, "DATE(2026") {
		t.Errorf("%d: %s", n, card)
	}
}

// Each of these characters is six bytes of JSON.
func TestWhatIsTooMuchForTeamsIsLeftOut(t *testing.T) {
	f, m := newTeamsed(t)
	long := strings.Repeat("&", 2000)
	m.review().Reason = long
	for range 9 {
		m.review().Comments = append(m.review().Comments, review.Comment{At: t0, By: "Ada", Text: long})
		m.card.Changed = append(m.card.Changed, review.Shift{At: t0, Kind: review.ShiftData, Asset: "x", What: long})
		m.card.Done = append(m.card.Done, review.Deed{At: t0, Type: "retrain", State: "done", Text: long})
		m.card.Held = append(m.card.Held, review.Deed{At: t0, Type: "rollback", State: "freeze", Text: long})
	}
	m.opened()
	if n, card := f.count(); n != 1 || !strings.Contains(card, "Changed") || strings.Contains(card, "Comments") || !strings.Contains(card, m.card.URL) {
		t.Errorf("%d cards, %d bytes", n, len(card))
	}
}

func TestAWorkflowsAddressIsCheckedAndNotRepeated(t *testing.T) {
	target := policy.Target{Teams: &policy.TeamsTarget{Token: policy.Token{TokenEnv: "TEAMS_URL"}}}
	for _, secret := range []string{"http://prod.contoso.example/workflows/s3cret", "workflows/s3cret", "ftp://prod.contoso.example/s3cret", "https://\x7f/s3cret", "not a s3cret"} {
		refusedTarget(t, target, secret, "targets.oncall.teams.token: is not a workflow's address")
	}
	for _, secret := range []string{"https://prod.contoso.example/workflows/s3cret", "http://localhost:9/s3cret"} {
		if _, err := effect.NewTicketers(map[string]policy.Target{"oncall": target}, effect.Deps{LookupEnv: func(string) (string, bool) { return secret, true }}); err != nil {
			t.Error(err)
		}
	}
}
