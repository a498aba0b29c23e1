package effect_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

func TestSlacksRefusalsAreSorted(t *testing.T) {
	for code, tc := range map[string]struct {
		permanent bool
		says      string
	}{
		"channel_not_found":   {true, "invite the app"},
		"not_in_channel":      {true, "invite the app"},
		"is_archived":         {true, "unarchive"},
		"invalid_auth":        {true, "bot token"},
		"account_inactive":    {true, "bot token"},
		"missing_scope":       {true, "lacks the scope chat:write.public"},
		"msg_blocks_too_long": {true, "report it"},
		"restricted_action":   {true, "preference"},
		"token_revoked":       {true, "bot token"},
		"msg_too_long":        {true, "report it"},
		"invalid_blocks":      {true, "report it"},
		"never_heard_of":      {true, "never_heard_of"},
		"rate_limited":        {false, ""},
		"ratelimited":         {false, ""}, "internal_error": {false, ""}, "fatal_error": {false, ""},
		"service_unavailable": {false, ""}, "request_timeout": {false, ""},
	} {
		f, m := newSlacked(t)
		f.refuses("chat.postMessage", code)
		err := m.try(review.NewsOpened)
		if err == nil || isPermanent(err) != tc.permanent || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "chat.postMessage") {
			t.Errorf("%s: %v", code, err)
		}
		f.refuses("chat.postMessage", "")
		m.opened()
	}
}

// limitedIn200 is Slack's limit of requests told the way of its refusals.
func limitedIn200(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Retry-After", "9")
	_, _ = w.Write([]byte(`{"ok":false,"error":"ratelimited"}`))
	return true
}

func TestSlacksFaultsAreSorted(t *testing.T) {
	for name, tc := range map[string]struct {
		before    func(http.ResponseWriter, *http.Request) bool
		permanent bool
		after     time.Duration
	}{
		"limited":         {answers(http.StatusTooManyRequests, map[string]string{"Retry-After": "30"}, ""), false, 30 * time.Second},
		"limited in 200":  {limitedIn200, false, 9 * time.Second},
		"down":            {answers(http.StatusBadGateway, nil, "bad gateway"), false, 0},
		"not Slack":       {answers(http.StatusOK, nil, "<html>"), false, 0},
		"an address gone": {answers(http.StatusNotFound, nil, ""), true, 0},
	} {
		f, m := newSlacked(t)
		f.set(pagingFaults{before: tc.before})
		if err := m.try(review.NewsOpened); err == nil || isPermanent(err) != tc.permanent || retryAfter(err) != tc.after {
			t.Errorf("%s: permanent %t, after %s: %v", name, isPermanent(err), retryAfter(err), err)
		}
		f.set(pagingFaults{})
		m.opened()
	}
}
