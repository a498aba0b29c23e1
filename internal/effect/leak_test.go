package effect_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

const (
	leakToken    = "leak-T0ken+of/a=service"
	leakCallback = "leak-callb4ck-secret"
	leakPath     = "leak-path-secr3t"
	leakQuery    = "leak-query-secr3t"
	leakUser     = "warden@contoso.example"
)

var (
	leakingToken = policy.Token{TokenEnv: "LEAK_TOKEN"}
	leakingHook  = policy.Callback{CallbackSecretEnv: "LEAK_CALLBACK"}
)

// leaking are the targets whose tools repeat everything that they are told, by
// what is configured for the tool at an address.
var leaking = map[string]func(t *testing.T, address string) policy.Target{
	"alertmanager, bearer": func(_ *testing.T, address string) policy.Target {
		return policy.Target{Alertmanager: &policy.AlertmanagerTarget{URL: address, Token: leakingToken}}
	},
	"alertmanager, basic": func(_ *testing.T, address string) policy.Target {
		return policy.Target{Alertmanager: &policy.AlertmanagerTarget{URL: address, User: leakUser, Token: leakingToken}}
	},
	"pagerDuty": func(_ *testing.T, address string) policy.Target {
		return policy.Target{PagerDuty: &policy.PagerDutyTarget{URL: address, Token: leakingToken, Callback: leakingHook}}
	},
	"githubIssue": func(_ *testing.T, address string) policy.Target {
		return policy.Target{GitHubIssue: &policy.GitHubIssueTarget{Owner: "contoso", Repo: "churn", URL: address, Token: leakingToken, Callback: leakingHook}}
	},
	"azureDevOpsWorkItem": func(_ *testing.T, address string) policy.Target {
		return policy.Target{WorkItem: &policy.WorkItemTarget{Organization: "contoso", Project: "churn", URL: address, Token: leakingToken, Callback: leakingHook}}
	},
	"jira, cloud": func(_ *testing.T, address string) policy.Target {
		return policy.Target{Jira: &policy.JiraTarget{URL: address, Project: "ML", User: leakUser, Token: leakingToken, Callback: leakingHook}}
	},
	"jira, data center": func(_ *testing.T, address string) policy.Target {
		return policy.Target{Jira: &policy.JiraTarget{URL: address, Project: "ML", Token: leakingToken, Callback: leakingHook}}
	},
	"serviceNow, bearer": func(_ *testing.T, address string) policy.Target {
		return policy.Target{ServiceNow: &policy.ServiceNowTarget{URL: address, Token: leakingToken, Callback: leakingHook}}
	},
	"serviceNow, basic": func(_ *testing.T, address string) policy.Target {
		return policy.Target{ServiceNow: &policy.ServiceNowTarget{URL: address, User: leakUser, Token: leakingToken, Callback: leakingHook}}
	},
	"webhook": func(_ *testing.T, address string) policy.Target {
		return policy.Target{Webhook: &policy.WebhookTarget{URL: address + "/" + leakPath + "?sig=" + leakQuery, SecretEnv: "LEAK_CALLBACK"}}
	},
	"email": func(t *testing.T, _ string) policy.Target {
		host, port := parrotOffice(t)
		return policy.Target{Email: &policy.EmailTarget{
			Host: host, Port: port, TLS: "none", User: leakUser, Token: leakingToken, From: leakUser, To: []string{"ada@contoso.example"},
		}}
	},
	"slack": func(_ *testing.T, address string) policy.Target {
		return policy.Target{Slack: &policy.SlackTarget{Channel: "C0123456789", URL: address, Token: leakingToken}}
	},
	"teams": func(_ *testing.T, _ string) policy.Target {
		return policy.Target{Teams: &policy.TeamsTarget{Token: policy.Token{TokenEnv: "LEAK_ADDRESS"}}}
	},
}

// leaks are the forms in which a secret could show.
func leaks() []string {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	out := []string{
		leakCallback, leakPath, leakQuery, encode(leakToken), leakToken, url.QueryEscape(leakToken), url.PathEscape(leakToken),
	}
	for _, pair := range []string{":" + leakToken, leakUser + ":" + leakToken, "\x00" + leakUser + "\x00" + leakToken} {
		out = append(out, encode(pair))
	}
	return out
}

func holdsSecret(text string) bool {
	for _, s := range leaks() {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// parrot answers with a status and all that it was sent: as text, or in the
// fields that the products' errors have.
type parrot struct {
	*httptest.Server
	status int
	json   bool
	// heard is set once a request held a secret.
	heard atomic.Bool
}

func newParrot(t *testing.T) *parrot {
	t.Helper()
	p := &parrot{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *parrot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	said := fmt.Sprintf("%s %s %s %s", r.Header.Get("Authorization"), r.URL, body, fmt.Sprint(r.Header))
	if holdsSecret(said) {
		p.heard.Store(true)
	}
	w.Header().Set("Location", r.URL.String())
	w.WriteHeader(p.status)
	if !p.json {
		_, _ = io.WriteString(w, said)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"message": said, "errors": []string{said}, "errorMessages": []string{said}, "status": "error", "error": map[string]string{"message": said, "detail": said},
	})
}

// parrotOffice is an SMTP server that refuses everything but a greeting, and
// says what it refuses.
func parrotOffice(t *testing.T) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go refuseMail(c)
		}
	}()
	return "127.0.0.1", l.Addr().(*net.TCPAddr).Port
}

func refuseMail(c net.Conn) {
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "220 ready\r\n")
	for lines := bufio.NewScanner(c); lines.Scan(); {
		answer := "535 no: " + lines.Text() + "\r\n"
		if strings.HasPrefix(lines.Text(), "EHLO") {
			answer = "250-here\r\n250 AUTH PLAIN\r\n"
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// leakTicketer builds one target with every secret, and what it logs.
func leakTicketer(t *testing.T, target policy.Target, address string) (effect.Ticketer, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	secrets := map[string]string{"LEAK_TOKEN": leakToken, "LEAK_CALLBACK": leakCallback, "LEAK_ADDRESS": address + "/" + leakPath + "?sig=" + leakQuery}
	all, err := effect.NewTicketers(map[string]policy.Target{"oncall": target}, effect.Deps{
		AllowLoopback: true, Version: "test", Logger: zap.New(core), Now: func() time.Time { return t0 },
		LookupEnv: func(name string) (string, bool) { s, ok := secrets[name]; return s, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	return all["oncall"], logs
}

// Whatever a tool answers: no error, no ticket and no line of the log shows what
// it is called with.
func TestNoTargetShowsItsSecrets(t *testing.T) {
	for name, target := range leaking {
		t.Run(name, func(t *testing.T) {
			p := newParrot(t)
			to, logs := leakTicketer(t, target(t, p.URL), p.URL)
			failed := 0
			for _, p.status = range []int{200, 302, 400, 401, 403, 404, 409, 422, 429, 500} {
				for _, p.json = range []bool{false, true} {
					failed += leakDeliveries(t, to)
				}
			}
			if failed == 0 || target(t, p.URL).Email == nil && !p.heard.Load() {
				t.Errorf("%d deliveries failed, and the tool was called with its secret: %t", failed, p.heard.Load())
			}
			leakHear(t, to)
			for _, entry := range logs.All() {
				assertNothingShows(t, fmt.Sprintf("%+v", entry))
			}
		})
	}
}

// leakDeliveries delivers a review in every state, to a tool that knows it and to
// one that doesn't, and counts the failures.
func leakDeliveries(t *testing.T, to effect.Ticketer) (failed int) {
	t.Helper()
	for _, state := range review.States() {
		for _, known := range []review.Ticket{{}, {Ref: "17", State: review.Open, Shown: "x"}, {Ref: "17", State: review.Resolved, Shown: "x"}} {
			card := newPaged(t, to).card
			card.Review.State, card.Review.Rev = state, 2
			got, err := to.Deliver(t.Context(), effect.Delivery{
				Key: pagedID, Card: card, Ticket: known, News: review.NewsEscalated | review.NewsResolved | review.NewsAcknowledged, Now: t0.Add(time.Hour),
			})
			if err != nil {
				failed++
			}
			assertNothingShows(t, ticketText(t, got))
			for e := err; e != nil; e = errors.Unwrap(e) {
				assertNothingShows(t, fmt.Sprintf("%v %+v %#v", e, e, e))
			}
		}
	}
	return failed
}

func ticketText(t *testing.T, ticket review.Ticket) string {
	t.Helper()
	text, err := json.Marshal(ticket)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + fmt.Sprintf("%+v", ticket)
}

// leakHear calls back with the secrets in the wrong places.
func leakHear(t *testing.T, to effect.Ticketer) {
	t.Helper()
	c, ok := to.(effect.Caller)
	if !ok {
		return
	}
	for _, body := range []string{"", leakCallback, `{"secret":"` + leakCallback + `"`} {
		_, err := c.Hear(http.Header{"Authorization": {"Bearer " + leakToken + leakCallback}}, []byte(body))
		if err != nil {
			assertNothingShows(t, fmt.Sprintf("%v %+v", err, err))
		}
	}
}

func assertNothingShows(t *testing.T, text string) {
	t.Helper()
	if holdsSecret(text) {
		t.Errorf("a secret shows in: %s", text)
	}
}
