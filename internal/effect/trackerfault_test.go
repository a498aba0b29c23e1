package effect_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func TestTrackersMakeOneTicketWhateverBreaks(t *testing.T) {
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	badGateway := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	for fault, after := range map[string]http.HandlerFunc{"hangs up": hangUp, "bad gateway": badGateway} {
		everyTracker(t, func(t *testing.T, d *trackerDesk) {
			d.s.faults(nil, after)
			err := d.try()
			d.s.faults(nil, nil)
			// A new ticket may take a while to show; nobody may look sooner.
			if err == nil || isPermanent(err) || retryAfter(err) < 30*time.Second || len(d.s.live()) != 1 {
				t.Errorf("%s: comes back in %s: %v", fault, retryAfter(err), err)
			}
			d.deliver()
			d.only()
			for _, s := range []review.State{review.Acknowledged, review.Resolved, review.Open} {
				d.enter(s)
				d.s.faults(nil, after)
				if err := d.try(); err == nil || isPermanent(err) {
					t.Errorf("%s, %s: %v", fault, s, err)
				}
				d.s.faults(nil, nil)
				d.deliver()
				d.shows(s)
			}
		})
	}
}

func TestTrackersSortRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		status    int
		header    string
		permanent bool
		after     time.Duration
	}{
		"too many":   {http.StatusTooManyRequests, "90", false, 90 * time.Second},
		"down":       {http.StatusServiceUnavailable, "", false, 0},
		"bad token":  {http.StatusUnauthorized, "", true, 0},
		"no right":   {http.StatusForbidden, "", true, 0},
		"nonsense":   {http.StatusBadRequest, "", true, 0},
		"redirected": {http.StatusMovedPermanently, "", true, 0},
	} {
		everyTracker(t, func(t *testing.T, d *trackerDesk) {
			refuse := func(w http.ResponseWriter, r *http.Request) bool {
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				w.Header().Set("Location", "https://elsewhere.contoso.example/?t="+theKey)
				w.WriteHeader(c.status)
				_, _ = fmt.Fprint(w, "said with ", r.Header.Get("Authorization"))
				return true
			}
			for _, known := range []bool{false, true} {
				d.s.faults(refuse, nil)
				err := d.try()
				d.s.faults(nil, nil)
				if err == nil || isPermanent(err) != c.permanent || retryAfter(err) != c.after {
					t.Errorf("%s, known %t: permanent %t, after %s: %v", name, known, isPermanent(err), retryAfter(err), err)
				}
				d.deliver()
				d.enter(review.Acknowledged)
			}
		})
	}
}

// hostile is what somebody may write into a run's name, and all its length.
const hostile = "@everyone <script>alert(1)</script> <!-- --> {noformat} [x|javascript:1] ![i](https://evil.example/i.png) \x1b[31m \u202e\nnew line \U0001F600"

func TestTrackersKeepForeignTextHarmlessAndShort(t *testing.T) {
	everyTracker(t, func(t *testing.T, d *trackerDesk) {
		long := strings.Repeat(hostile, 20)
		r := &d.card.Review
		r.Title, r.Reason, r.Model = long, long, "model/contoso-ml/churn/12"
		for n := range review.MaxComments {
			r.Comments = append(r.Comments, review.Comment{At: t0, By: fmt.Sprint("person ", n), Text: long})
		}
		d.deliver()
		k := d.only()
		if strings.ContainsAny(k.title, "\n\x1b\u202e") || strings.ContainsAny(k.body, "\x1b\u202e") {
			t.Errorf("characters that control: %q", k.title)
		}
		for markup, times := range d.fake.markup() {
			if n := strings.Count(k.body, markup); n != times {
				t.Errorf("%q is in the body %d times", markup, n)
			}
		}
		d.ticket = review.Ticket{}
		d.deliver()
		d.only()
	})
}

func TestTrackersAreNotBuiltWithoutTheirSecrets(t *testing.T) {
	for tool, c := range toolCallbacks {
		kind := string(c.target.Kind())
		for want, broken := range map[string]policy.Target{
			kind + ".tokenEnv":          without(c.target, func(t *policy.Token, _ *policy.Callback) { t.TokenEnv = "NOT_SET" }),
			kind + ".token: is missing": without(c.target, func(t *policy.Token, _ *policy.Callback) { t.TokenEnv = "" }),
			kind + ".callbackSecretEnv": without(c.target, func(_ *policy.Token, c *policy.Callback) { c.CallbackSecretEnv = "NOT_SET" }),
			kind + ".token: it has":     without(c.target, func(t *policy.Token, _ *policy.Callback) { t.TokenEnv = "BROKEN" }),
			kind + ".allowPrivate":      without(c.target, func(t *policy.Token, _ *policy.Callback) { t.AllowPrivate = []string{"a:1"} }),
		} {
			_, err := effect.NewTicketers(map[string]policy.Target{"desk2": broken}, effect.Deps{LookupEnv: func(name string) (string, bool) {
				s, ok := map[string]string{"TRACKER_TOKEN": theKey, "TRACKER_HOOK": theHook, "BROKEN": theKey + "\n"}[name]
				return s, ok
			}})
			// A token of Azure DevOps' is encoded, whatever is in it.
			if harmless := c.target.WorkItem != nil && strings.HasSuffix(want, "it has"); (err == nil) != harmless {
				t.Errorf("%s, %s: %v", tool, want, err)
			}
			assertNoLeak(t, policy.Outcome{}, err)
			if err != nil && !strings.HasPrefix(err.Error(), "targets.desk2."+want) {
				t.Errorf("%s: %v, want %s", tool, err, want)
			}
		}
	}
}

// without is a target with its secrets, in which something is amiss.
func without(t policy.Target, amiss func(*policy.Token, *policy.Callback)) policy.Target {
	t = credentialed(t, hooked)
	switch {
	case t.GitHubIssue != nil:
		amiss(&t.GitHubIssue.Token, &t.GitHubIssue.Callback)
	case t.WorkItem != nil:
		amiss(&t.WorkItem.Token, &t.WorkItem.Callback)
	case t.Jira != nil:
		amiss(&t.Jira.Token, &t.Jira.Callback)
	case t.ServiceNow != nil:
		amiss(&t.ServiceNow.Token, &t.ServiceNow.Callback)
	}
	return t
}
