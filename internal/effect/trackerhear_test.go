package effect_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// toolCallback is how a product calls back.
type toolCallback struct {
	target policy.Target
	// sign puts what authenticates a body into a request's header.
	sign func(h http.Header, secret string, body []byte)
	// says are requests and what is to be heard of them.
	says map[string]toolSays
}

type toolSays struct {
	header map[string]string
	body   string
	heard  []effect.Heard
}

// toolCallbacks are those of every product.
var toolCallbacks = map[string]toolCallback{
	"github issue": gitHubCallback, "work item": workItemCallback, "jira": jiraCallback, "servicenow": serviceNowCallback,
}

func hubSign(name string) func(http.Header, string, []byte) {
	return func(h http.Header, secret string, body []byte) {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		h.Set(name, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
}

// credentialed is a target that says where its token is, and how its callbacks
// are authenticated.
func credentialed(t policy.Target, hook policy.Callback) policy.Target {
	token := policy.Token{TokenEnv: "TRACKER_TOKEN"}
	switch {
	case t.GitHubIssue != nil:
		c := *t.GitHubIssue
		c.Token, c.Callback, t.GitHubIssue = token, hook, &c
	case t.WorkItem != nil:
		c := *t.WorkItem
		c.Token, c.Callback, t.WorkItem = token, hook, &c
	case t.Jira != nil:
		c := *t.Jira
		c.Token, c.Callback, t.Jira = token, hook, &c
	case t.ServiceNow != nil:
		c := *t.ServiceNow
		c.Token, c.Callback, t.ServiceNow = token, hook, &c
	}
	return t
}

// hooked is where the secret of the trackers' callbacks is.
var hooked = policy.Callback{CallbackSecretEnv: "TRACKER_HOOK"}

func (s toolSays) request(tool toolCallback, secret string) (http.Header, []byte) {
	header := http.Header{"Content-Type": {"application/json"}}
	for name, value := range s.header {
		header.Set(name, value)
	}
	tool.sign(header, secret, []byte(s.body))
	return header, []byte(s.body)
}

func TestTrackersHearWhatPeopleDo(t *testing.T) {
	for tool, c := range toolCallbacks {
		caller := buildTracker(t, credentialed(c.target, hooked)).(effect.Caller)
		for name, s := range c.says {
			header, body := s.request(c, theHook)
			got, err := caller.Hear(header, body)
			if err != nil {
				t.Errorf("%s, %s: %v", tool, name, err)
			}
			if len(got)+len(s.heard) > 0 && !reflect.DeepEqual(got, s.heard) {
				t.Errorf("%s, %s:\n got %+v\nwant %+v", tool, name, got, s.heard)
			}
		}
	}
}

func TestTrackersBelieveNobodyElse(t *testing.T) {
	for tool, c := range toolCallbacks {
		caller, deaf := buildTracker(t, credentialed(c.target, hooked)).(effect.Caller), buildTracker(t, credentialed(c.target, policy.Callback{})).(effect.Caller)
		for name, s := range c.says {
			for _, secret := range []string{"", theHook + "x", theKey} {
				header, body := s.request(c, secret)
				if got, err := caller.Hear(header, body); !errors.Is(err, effect.ErrForged) || got != nil {
					t.Errorf("%s, %s, signed with %q: %v, %v", tool, name, secret, got, err)
				}
			}
			header, body := s.request(c, theHook)
			if _, err := caller.Hear(header, append(body, ' ')); c.signsBody() && !errors.Is(err, effect.ErrForged) {
				t.Errorf("%s, %s, with another body: %v", tool, name, err)
			}
			if _, err := deaf.Hear(header, body); !errors.Is(err, effect.ErrNoCallback) {
				t.Errorf("%s, %s, without a secret: %v", tool, name, err)
			}
			if _, err := caller.Hear(http.Header{}, body); !errors.Is(err, effect.ErrForged) {
				t.Errorf("%s, %s, not signed: %v", tool, name, err)
			}
		}
	}
}

// signsBody reports whether the product signs, rather than sends a password.
func (c toolCallback) signsBody() bool { return c.target.WorkItem == nil }

func TestTrackersRefuseWhatTheyCantRead(t *testing.T) {
	for tool, c := range toolCallbacks {
		caller := buildTracker(t, credentialed(c.target, hooked)).(effect.Caller)
		for name, s := range c.says {
			s.body = strings.TrimRight(s.body, "} \n")
			header, body := s.request(c, theHook)
			if got, err := caller.Hear(header, body); got != nil || errors.Is(err, effect.ErrForged) || err == nil && s.heard != nil {
				t.Errorf("%s, %s: %v, %v", tool, name, got, err)
			}
		}
	}
}

// Whatever somebody who has the secret sends, what is heard fits a review.
func FuzzTrackersHear(f *testing.F) {
	var tools []string
	for tool, c := range toolCallbacks {
		tools = append(tools, tool)
		for _, s := range c.says {
			f.Add(tool, s.header["X-GitHub-Event"], []byte(s.body))
		}
	}
	callers := map[string]effect.Caller{}
	for _, tool := range tools {
		callers[tool] = buildTracker(f, credentialed(toolCallbacks[tool].target, hooked)).(effect.Caller)
	}
	f.Fuzz(func(t *testing.T, tool, event string, body []byte) {
		caller, known := callers[tool]
		if !known {
			return
		}
		header, _ := toolSays{header: map[string]string{"X-GitHub-Event": event}, body: string(body)}.request(toolCallbacks[tool], theHook)
		heard, err := caller.Hear(header, body)
		if errors.Is(err, effect.ErrForged) || err != nil && heard != nil || len(heard) > 2 {
			t.Fatalf("%v, %v", heard, err)
		}
		for _, h := range heard {
			verbs := map[review.Verb]bool{review.Ack: true, review.Resolve: true, review.Remark: true, review.Reopen: true}
			if !verbs[h.Verb] || h.Key == "" && h.Ref == "" || len(h.Key) > 40 || len(h.By) > 200 || len(h.Why) > 2000 || !utf8.ValidString(h.Why+h.By) {
				t.Errorf("%+v", h)
			}
		}
	})
}

// heard is what is heard of the review of these tests.
func heard(verb review.Verb, by, why string, at time.Time, id string) []effect.Heard {
	return []effect.Heard{{Key: reviewKey, Ref: "41", Verb: verb, By: by, Why: why, At: at, ID: id}}
}
