package effect_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

const slackChannel = "C0123456789"

// fakeSlack is the part of Slack's Web API that messages need, for one channel.
// It checks every request against the schema of testdata, keeps what is posted,
// and answers refusals as Slack does: with status 200.
type fakeSlack struct {
	*httptest.Server
	t        *testing.T
	mu       sync.Mutex
	messages []*slackPosted // oldest first
	calls    []string
	// refuse answers a method with a code.
	refuse map[string]string
	// scopes of the token, for what it may read.
	history bool
	faults  pagingFaults
	clock   func() time.Time
}

// slackPosted is a message or, with a thread, a reply.
type slackPosted struct {
	Channel   string         `json:"channel"`
	TS        string         `json:"ts"`
	Thread    string         `json:"thread_ts"`
	Broadcast bool           `json:"reply_broadcast"`
	Text      string         `json:"text"`
	Blocks    []any          `json:"blocks"`
	Metadata  map[string]any `json:"metadata"`
	edits     int
}

func newFakeSlack(t *testing.T) *fakeSlack {
	t.Helper()
	f := &fakeSlack{t: t, refuse: map[string]string{}, history: true, clock: func() time.Time { return t0 }}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeSlack) target() policy.Target {
	return policy.Target{Slack: &policy.SlackTarget{
		Channel: slackChannel, Mentions: []string{"U0123456789", "S0123456789", "here"}, URL: f.URL + "/api",
		Token: policy.Token{TokenEnv: "SLACK_TOKEN"},
	}}
}

func (f *fakeSlack) set(faults pagingFaults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// refuses makes a method refuse, until it is told "".
func (f *fakeSlack) refuses(method, code string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse[method] = code
}

func (f *fakeSlack) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	method, ok := strings.CutPrefix(r.URL.Path, "/api/")
	f.calls = append(f.calls, method)
	if !ok || r.Header.Get("Authorization") != "Bearer "+pagerKey || r.Header.Get("User-Agent") != "modelwarden/test" {
		f.t.Errorf("%s: %s", r.URL, r.Header)
	}
	if f.faults.before != nil && f.faults.before(w, r) {
		return
	}
	answer := f.route(method, r)
	if code := f.refuse[method]; code != "" {
		answer = no(code)
	}
	if f.faults.after != nil && answer["ok"] == true {
		f.faults.after(w, r)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(answer)
}

func no(code string) map[string]any {
	out := map[string]any{"ok": false, "error": code}
	if code == "missing_scope" {
		out["needed"], out["provided"] = "chat:write.public", "chat:write"
	}
	return out
}

func (f *fakeSlack) route(method string, r *http.Request) map[string]any {
	if f.refuse[method] != "" {
		return nil
	}
	switch r.Method + " " + method {
	case "POST chat.postMessage":
		return f.post(r)
	case "POST chat.update":
		return f.update(r)
	case "GET conversations.history":
		return f.list(r.URL.Query(), func(m *slackPosted) bool { return m.Thread == "" || m.Broadcast })
	case "GET conversations.replies":
		return f.list(r.URL.Query(), func(m *slackPosted) bool { return m.Thread == r.URL.Query().Get("ts") })
	case "GET chat.getPermalink":
		q := r.URL.Query()
		return map[string]any{"ok": true, "channel": q.Get("channel"), "permalink": "https://contoso.slack.com/archives/" + q.Get("channel") + "/p" + strings.ReplaceAll(q.Get("message_ts"), ".", "")}
	}
	return no("unknown_method")
}

// read checks a request's body against the schema.
func (f *fakeSlack) read(r *http.Request, def string, into any) bool {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = conforms(publishedSchema(f.t, "slack.json", def), body, into)
	}
	if err != nil || r.Header.Get("Content-Type") != "application/json" {
		f.t.Errorf("%s: %v\n%s", r.URL.Path, err, body)
		return false
	}
	for _, part := range activeParts {
		if strings.Contains(string(body), part) {
			f.t.Errorf("%s: %q in %s", r.URL.Path, part, body)
		}
	}
	return true
}

func (f *fakeSlack) post(r *http.Request) map[string]any {
	m := &slackPosted{}
	if !f.read(r, "post", m) {
		return no("invalid_arguments")
	}
	if m.Channel != slackChannel && m.Channel != "#oncall" {
		return no("channel_not_found")
	}
	m.Channel = slackChannel
	m.TS = fmt.Sprintf("%d.%06d", f.clock().Unix(), len(f.messages)+1)
	f.messages = append(f.messages, m)
	return map[string]any{"ok": true, "channel": m.Channel, "ts": m.TS, "message": map[string]any{"text": m.Text}}
}

func (f *fakeSlack) update(r *http.Request) map[string]any {
	var m slackPosted
	if !f.read(r, "update", &m) {
		return no("invalid_arguments")
	}
	i := slices.IndexFunc(f.messages, func(old *slackPosted) bool { return old.TS == m.TS && old.Channel == m.Channel })
	if i < 0 {
		return no("message_not_found")
	}
	old := f.messages[i]
	old.Text, old.Blocks, old.edits = m.Text, m.Blocks, old.edits+1
	if m.Metadata != nil {
		old.Metadata = m.Metadata
	}
	return map[string]any{"ok": true, "channel": m.Channel, "ts": m.TS, "text": m.Text}
}

// list answers with two messages a page, the newest first.
func (f *fakeSlack) list(q url.Values, in func(*slackPosted) bool) map[string]any {
	if !f.history {
		return no("missing_scope")
	}
	if q.Get("channel") != slackChannel || q.Get("include_all_metadata") != "true" || q.Get("limit") == "" {
		f.t.Errorf("query %s", q.Encode())
		return no("channel_not_found")
	}
	if oldest, err := strconv.ParseFloat(q.Get("oldest"), 64); err != nil || oldest < float64(t0.Add(-2*time.Hour).Unix()) {
		f.t.Errorf("reads all of the channel's history: %s", q.Encode())
	}
	var found []*slackPosted
	for _, m := range slices.Backward(f.messages) {
		if in(m) && m.TS > q.Get("oldest") && (q.Get("cursor") == "" || m.TS < q.Get("cursor")) {
			found = append(found, m)
		}
	}
	out := map[string]any{"ok": true, "messages": found[:min(2, len(found))], "has_more": len(found) > 2}
	if len(found) > 2 {
		out["response_metadata"] = map[string]any{"next_cursor": found[1].TS}
	}
	return out
}

// asked are the methods that were called.
func (f *fakeSlack) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// talk is people writing n messages.
func (f *fakeSlack) talk(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.messages = append(f.messages, &slackPosted{Channel: slackChannel, TS: f.messages[len(f.messages)-1].TS + "1"})
	}
}

// remove is a person deleting a message.
func (f *fakeSlack) remove(ts string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages = slices.DeleteFunc(f.messages, func(m *slackPosted) bool { return m.TS == ts })
}

// shown are the messages and the replies.
func (f *fakeSlack) shown() (messages, replies []*slackPosted) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.messages {
		if m.Thread == "" {
			messages = append(messages, m)
		} else {
			replies = append(replies, m)
		}
	}
	return messages, replies
}

// says is all of a message, as text.
func (m *slackPosted) says() string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(m.Blocks)
	return m.Text + b.String()
}
