package effect_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func newHooked(t *testing.T, answer http.HandlerFunc, types ...policy.ActionType) (*paged, *target) {
	t.Helper()
	srv := newTarget(t, answer)
	p := newPaged(t, ticketers(t, policy.Target{Webhook: &policy.WebhookTarget{URL: srv.URL, SecretEnv: "HOOK", Types: types}}))
	p.review().Rev, p.review().Updated = 4, t0
	return p, srv
}

func TestAWebhookIsToldWhatBecomesOfAReview(t *testing.T) {
	p, srv := newHooked(t, nil)
	p.do(review.Ack, time.Time{})
	p.deliver(review.NewsAcknowledged)
	if len(srv.got) != 1 {
		t.Fatalf("%d messages", len(srv.got))
	}
	got := srv.got[0]
	if !verify(t, got, []byte(pagerKey)) {
		t.Error("the signature is wrong")
	}
	if id := got.header.Get("webhook-id"); id == "" || id != got.header.Get("Idempotency-Key") || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", got.header)
	}
	const want = `{"type":"modelwarden.review.acknowledged","timestamp":"2026-03-02T10:01:00Z","data":{` +
		`"id":"abcdefghijklmnopqrstuvwxyz-3","state":"acknowledged","severity":"warning","title":"churn drifts",` +
		`"reason":"PSI 0.35 over 0.2","cause":"churn drifts","count":1,"opened":"2026-03-02T10:00:00Z","updated":"2026-03-02T10:01:00Z",` +
		`"acknowledgedBy":"Ada","assets":["monitor/contoso-ml/churn"],"model":"model/contoso-ml/churn","workspace":"contoso-ml",` +
		`"policies":["churn-drift","churn-late"],"url":"https://warden.contoso.example/reviews/abcdefghijklmnopqrstuvwxyz-3",` +
		`"news":["acknowledged"]}}`
	if string(got.body) != want {
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
}

func TestWebhookWordsForReviews(t *testing.T) {
	for _, tc := range []struct {
		news  review.News
		state review.State
		want  []string
	}{
		{0, review.Open, nil},
		{review.NewsOpened | review.NewsCounted, review.Open, nil},
		{review.NewsReopened, review.Open, []string{"reopened"}},
		{review.NewsOpened | review.NewsSeverity, review.Open, []string{"severity"}},
		{review.NewsComment | review.NewsEscalated, review.Open, []string{"escalated", "commented"}},
		{review.NewsAwake, review.Open, []string{"awake"}},
		{review.NewsSnoozed, review.Snoozed, []string{"snoozed"}},
		{review.NewsSnoozed, review.Open, nil},
		{review.NewsAcknowledged | review.NewsResolved | review.NewsEscalated, review.Resolved, []string{"resolved", "escalated"}},
	} {
		p, srv := newHooked(t, nil)
		p.review().State = tc.state
		p.deliver(tc.news)
		if len(tc.want) == 0 {
			if len(srv.got) != 0 {
				t.Errorf("%b: %s", tc.news, srv.got[0].body)
			}
			continue
		}
		var m struct {
			Type string
			Data struct{ News []string }
		}
		if len(srv.got) != 1 || json.Unmarshal(srv.got[0].body, &m) != nil || m.Type != "modelwarden.review."+tc.want[0] || !slices.Equal(m.Data.News, tc.want) {
			t.Errorf("%b: %+v in %d messages, want %v", tc.news, m, len(srv.got), tc.want)
		}
	}
}

// A lost answer: the receiver can tell the repeat from news by its id.
func TestARepeatToAWebhookHasTheSameID(t *testing.T) {
	p, srv := newHooked(t, dropOnce(http.MethodPost, ""))
	p.review().State, p.review().Resolution = review.Resolved, &review.Resolution{By: "Ada", Cause: "retrained"}
	if err := p.try(review.NewsResolved); err == nil || isPermanent(err) {
		t.Fatalf("error %v", err)
	}
	p.deliver(review.NewsResolved)
	if id := srv.got[0].header.Get("webhook-id"); len(srv.got) != 2 || id != srv.got[1].header.Get("webhook-id") || string(srv.got[0].body) != string(srv.got[1].body) {
		t.Errorf("messages %v", srv.got)
	}
	if !strings.Contains(string(srv.got[1].body), `"resolution":{"by":"Ada","cause":"retrained","auto":false}`) {
		t.Errorf("body %s", srv.got[1].body)
	}
	p.review().Rev++
	p.deliver(review.NewsComment)
	if len(srv.got) != 3 || srv.got[2].header.Get("webhook-id") == srv.got[1].header.Get("webhook-id") {
		t.Errorf("%d messages", len(srv.got))
	}
}

func TestAWebhookForOtherActionsHearsNothingOfReviews(t *testing.T) {
	p, srv := newHooked(t, nil, policy.Retrain)
	p.deliver(review.NewsResolved | review.NewsComment)
	if len(srv.got) != 0 {
		t.Errorf("messages %v", srv.got)
	}
	p, srv = newHooked(t, nil, policy.Retrain, policy.Review)
	p.deliver(review.NewsComment)
	if len(srv.got) != 1 {
		t.Errorf("%d messages", len(srv.got))
	}
}

// Webhooks still get actions as actions.
func TestAWebhookTakesActionsAndReviews(t *testing.T) {
	srv := newTarget(t, nil)
	all, err := effect.New(map[string]policy.Target{"hook": {Webhook: &policy.WebhookTarget{URL: srv.URL}}}, effect.Deps{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all["hook"].Do(t.Context(), action(policy.Review)); err != nil || len(srv.got) != 1 || !strings.Contains(string(srv.got[0].body), `"modelwarden.action.review"`) {
		t.Errorf("%v, %d messages", err, len(srv.got))
	}
	p, _ := newHooked(t, nil)
	if _, err := p.to.Deliver(t.Context(), effect.Delivery{Key: "n", Card: p.card, Once: true, News: review.NewsOpened, Now: t0}); !isPermanent(err) {
		t.Errorf("a notice: %v", err)
	}
}

// An opening is told by the review action: the ticket is known all the same, so
// that what becomes of the review is told, too.
func TestAWebhookThatWasToldOfAnOpeningHasATicket(t *testing.T) {
	p, srv := newHooked(t, nil)
	p.deliver(review.NewsOpened)
	if len(srv.got) != 0 || p.ticket.Ref != pagedID || p.ticket.State != "" {
		t.Errorf("%d messages, ticket %+v", len(srv.got), p.ticket)
	}
	other, _ := newHooked(t, nil, policy.Retrain)
	if other.deliver(review.NewsOpened); other.ticket.Ref != "" {
		t.Errorf("one that takes no reviews has ticket %+v", other.ticket)
	}
}
