package effect_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// theHook is the secret of the trackers' callbacks.
const theHook = "c4llback-s3cret"

// basic is what a user sends with the token as the password.
func basic(user string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + theKey))
}

// trackerFake is a tracker under the test, with what people do in it.
type trackerFake interface {
	base() *trackerServer
	// target is how the policy file names it, without where the secrets are.
	target() policy.Target
	// route answers a request, which has been authenticated.
	route(w http.ResponseWriter, r *http.Request)
	authentic(r *http.Request) bool
	// shows reports whether a ticket's own state stands for a review's.
	shows(k *fakeTicket, s review.State) bool
	// put moves a ticket by hand, to "" for a state that stands for none; false
	// when there is no such state.
	put(k *fakeTicket, s review.State) bool
	// markup is how often what means something to the product may be in a
	// ticket's text.
	markup() map[string]int
	// plant makes a ticket by hand that carries a key.
	plant(key string) *fakeTicket
}

// fakeTicket is a ticket as the product keeps it.
type fakeTicket struct {
	ref         string
	title, body string
	status      string
	labels      []string
	fields      map[string]any
	rev         int
	deleted     bool
}

// trackerServer is what the fakes share: an HTTP server that checks who asks
// and what, keeps tickets, counts what changes them, and has faults. before, if
// set, may answer in the product's stead; after, once a change took effect.
type trackerServer struct {
	*httptest.Server
	t        *testing.T
	mu       sync.Mutex
	schema   string
	tickets  []*fakeTicket // oldest first
	writes   int
	requests []string
	before   func(w http.ResponseWriter, r *http.Request) bool
	after    http.HandlerFunc
	fake     trackerFake
}

func (s *trackerServer) base() *trackerServer { return s }

func (s *trackerServer) start(t *testing.T, schema string, fake trackerFake) {
	t.Helper()
	s.t, s.schema, s.fake = t, schema, fake
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
}

// faults sets the faults, once a request under way has ended.
func (s *trackerServer) faults(before func(http.ResponseWriter, *http.Request) bool, after http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

func (s *trackerServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	if got := r.Header.Get("User-Agent"); got != "modelwarden/test" {
		s.t.Errorf("User-Agent: %q", got)
	}
	if s.before != nil && s.before(w, r) {
		return
	}
	if !s.fake.authentic(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	changes, rec := s.writes, httptest.NewRecorder()
	s.fake.route(rec, r)
	if s.after != nil && s.writes > changes {
		s.after(w, r)
		return
	}
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = io.Copy(w, rec.Body)
}

// wants reads a request's body and checks it against a definition of the
// product's schema; it answers and returns false if the body is wrong.
func (s *trackerServer) wants(w http.ResponseWriter, r *http.Request, def, contentType string, into any) bool {
	if got := r.Header.Get("Content-Type"); got != contentType {
		s.t.Errorf("%s %s: Content-Type %q", r.Method, r.URL.Path, got)
	}
	b, err := io.ReadAll(r.Body)
	if err == nil {
		err = s.conforms(def, b)
	}
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		http.Error(w, "unprocessable", http.StatusUnprocessableEntity)
	}
	return err == nil
}

// asks checks a request's query.
func (s *trackerServer) asks(r *http.Request, def string) url.Values {
	flat := map[string]string{}
	for name, values := range r.URL.Query() {
		flat[name] = strings.Join(values, ",")
	}
	b, err := json.Marshal(flat)
	if err == nil {
		err = s.conforms(def, b)
	}
	if err != nil {
		s.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	return r.URL.Query()
}

func (s *trackerServer) conforms(def string, doc []byte) error {
	return conforms(publishedSchema(s.t, s.schema, def), doc, new(any))
}

func (s *trackerServer) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// at finds a ticket that was not deleted.
func (s *trackerServer) at(ref string) *fakeTicket {
	for _, k := range s.tickets {
		if k.ref == ref && !k.deleted {
			return k
		}
	}
	return nil
}

func (s *trackerServer) add(k *fakeTicket, first int) *fakeTicket {
	k.ref, k.rev = fmt.Sprint(first+len(s.tickets)), 1
	s.tickets = append(s.tickets, k)
	return k
}

// live are the tickets that were not deleted.
func (s *trackerServer) live() []*fakeTicket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*fakeTicket
	for _, k := range s.tickets {
		if !k.deleted {
			out = append(out, k)
		}
	}
	return out
}

// written counts the changes so far.
func (s *trackerServer) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// ticketer builds the target that reaches the fake.
func ticketer(t *testing.T, f trackerFake) effect.Ticketer {
	t.Helper()
	return buildTracker(t, credentialed(f.target(), hooked))
}

func buildTracker(t testing.TB, target policy.Target) effect.Ticketer {
	t.Helper()
	secrets := map[string]string{"TRACKER_TOKEN": theKey, "TRACKER_HOOK": theHook}
	all, err := effect.NewTicketers(map[string]policy.Target{"desk2": target}, effect.Deps{
		AllowLoopback: true, Version: "test", Now: func() time.Time { return t0.Add(time.Hour) },
		LookupEnv: func(name string) (string, bool) { s, ok := secrets[name]; return s, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	return all["desk2"]
}
