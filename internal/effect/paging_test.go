package effect_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// pagedID is the review that pages are about, and the key of its deliveries.
const pagedID = "abcdefghijklmnopqrstuvwxyz-3"

// pagingFaults are what a fake service does wrong: before, if set, may answer in
// its stead and then says so; after, if set, answers once a request took effect.
type pagingFaults struct {
	before func(w http.ResponseWriter, r *http.Request) bool
	after  http.HandlerFunc
}

// dropOnce hangs up on the first request of a method and a part of the path.
func dropOnce(method, path string) http.HandlerFunc {
	var once sync.Once
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method && strings.Contains(r.URL.Path, path) {
			once.Do(func() { panic(http.ErrAbortHandler) })
		}
	}
}

// answers is a fault that answers everything with a status.
func answers(status int, header map[string]string, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body + r.Header.Get("Authorization")))
		return true
	}
}

// paged is one review on its way to a paging tool, by a clock of its own.
type paged struct {
	t      *testing.T
	to     effect.Ticketer
	card   review.Card
	ticket review.Ticket
	// now is the time, which servers ask for with clock.
	now time.Time
	mu  sync.Mutex
	// at is the fake, for those who do something to it.
	at any
}

// pagerKey is every paging target's secret, of the length of PagerDuty's.
const pagerKey = "0123456789abcdef0123456789abcdef"

func newPaged(t *testing.T, to effect.Ticketer) *paged {
	return &paged{t: t, to: to, now: t0, card: review.Card{
		URL: "https://warden.contoso.example/reviews/" + pagedID, Runbook: "https://wiki.contoso.example/churn", Owner: "risk team",
		Review: review.Review{
			ID: pagedID, Cause: "churn drifts", Title: "churn drifts", Reason: "PSI 0.35 over 0.2", Severity: review.Warning,
			State: review.Open, Opened: t0, OpenSince: t0, LastSignal: t0, Count: 1, Workspace: "contoso-ml",
			Model: "model/contoso-ml/churn", Policies: []string{"churn-drift", "churn-late"}, Assets: []string{"monitor/contoso-ml/churn"},
		},
	}}
}

// ticketers builds one target, with every secret theKey.
func ticketers(t *testing.T, target policy.Target) effect.Ticketer {
	t.Helper()
	all, err := effect.NewTicketers(map[string]policy.Target{"oncall": target}, effect.Deps{
		AllowLoopback: true, Version: "test", LookupEnv: func(string) (string, bool) { return pagerKey, true },
	})
	if err != nil {
		t.Fatal(err)
	}
	return all["oncall"]
}

func (p *paged) review() *review.Review { return &p.card.Review }

// pass lets a minute go by.
func (p *paged) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(time.Minute)
}

// clock is the time for a server, which may still be at an earlier request.
func (p *paged) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// try delivers once, a minute after what was before.
func (p *paged) try(news review.News) error {
	p.t.Helper()
	p.pass()
	ticket, err := p.to.Deliver(p.t.Context(), effect.Delivery{Key: pagedID, Card: p.card, Ticket: p.ticket, News: news, Now: p.now})
	assertNoLeak(p.t, policy.Outcome{}, err, ticket.Ref, ticket.URL, ticket.Shown)
	if err != nil && strings.Contains(err.Error(), pagerKey) {
		p.t.Errorf("the error shows the key: %v", err)
	}
	if err == nil {
		p.ticket = ticket
	}
	return err
}

func (p *paged) deliver(news review.News) {
	p.t.Helper()
	if err := p.try(news); err != nil {
		p.t.Fatal(err)
	}
}

// do carries a command of Ada's out and delivers what came of it.
func (p *paged) do(v review.Verb, until time.Time) {
	p.t.Helper()
	p.pass()
	if _, err := p.review().Apply(review.Command{Verb: v, By: "Ada", Until: until}, p.now); err != nil {
		p.t.Fatal(err)
	}
	p.deliver(map[review.Verb]review.News{review.Ack: review.NewsAcknowledged, review.Snooze: review.NewsSnoozed, review.Resolve: review.NewsResolved}[v])
}

// open opens the review again.
func (p *paged) open(severity review.Severity) {
	r := p.review()
	p.pass()
	r.State, r.OpenSince, r.Severity, r.AckedAt, r.AckedBy, r.SnoozedUntil = review.Open, p.now, severity, time.Time{}, "", time.Time{}
}

// hostileText is what a job's tag could say.
const hostileText = "@here <!channel> <@U1> <https://evil.contoso.example|click> https://evil.contoso.example www.evil.contoso.example <script>alert(1)</script> \x1b[31m\u202e\xff\n"

// activeParts are what chats and mail programs would act on.
var activeParts = []string{"@here", "<!channel", "<@U1", "://evil", "www.evil", "<script", "\x1b", "\u202e", "\xff"}
