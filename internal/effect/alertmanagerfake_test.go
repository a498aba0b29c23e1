package effect_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// fakeAlertmanager is an Alertmanager as far as its API v2 goes: alerts that
// merge by its rules (types.Alert.Merge, provider/mem), silences that change as
// its do (silence.Set), and a log of what receivers would be told.
type fakeAlertmanager struct {
	*httptest.Server
	pagingFaults
	t      *testing.T
	mu     sync.Mutex
	alerts map[string]*fakeAlert
	// silences are all, in order of creation.
	silences []*fakeSilence
	// told are "firing warning" and "resolved warning", per alert and change.
	told     []string
	requests []string
	// clock is the server's; auth what it wants to see.
	clock func() time.Time
	auth  string

	alertSchema, silenceSchema *jsonschema.Schema
}

type fakeAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	told         string
}

type fakeSilence struct {
	ID       string `json:"id"`
	Matchers []struct {
		Name    string `json:"name"`
		Value   string `json:"value"`
		IsRegex bool   `json:"isRegex"`
	} `json:"matchers"`
	StartsAt  time.Time         `json:"startsAt"`
	EndsAt    time.Time         `json:"endsAt"`
	CreatedBy string            `json:"createdBy"`
	Comment   string            `json:"comment"`
	Status    map[string]string `json:"status"`
}

func newFakeAlertmanager(t *testing.T) *fakeAlertmanager {
	t.Helper()
	f := &fakeAlertmanager{
		t: t, alerts: map[string]*fakeAlert{}, auth: "Bearer " + pagerKey,
		alertSchema:   publishedSchema(t, "alertmanager.json", "postableAlerts"),
		silenceSchema: publishedSchema(t, "alertmanager.json", "postableSilence"),
	}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// faults sets the faults, once a request under way has ended.
func (f *fakeAlertmanager) faults(p pagingFaults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pagingFaults = p
}

func (f *fakeAlertmanager) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	route, _ := strings.CutPrefix(r.URL.Path, "/am/api/v2/")
	f.requests = append(f.requests, r.Method+" "+route)
	if f.before != nil && f.before(w, r) {
		return
	}
	if r.Header.Get("Authorization") != f.auth || r.Header.Get("User-Agent") != "modelwarden/test" {
		f.t.Errorf("%s: %v", route, r.Header)
	}
	rec := httptest.NewRecorder()
	f.route(rec, r, r.Method+" "+route)
	if f.after != nil {
		f.after(w, r)
	}
	w.Header().Set("Date", f.clock().UTC().Format(http.TimeFormat))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (f *fakeAlertmanager) route(w http.ResponseWriter, r *http.Request, route string) {
	id, byID := strings.CutPrefix(route, "DELETE silence/")
	switch {
	case route == "GET alerts":
		f.answer(w, f.listed(r))
	case route == "POST alerts":
		f.post(w, r)
	case route == "GET silences":
		f.answer(w, f.silencesOf(r))
	case route == "POST silences":
		f.silence(w, r)
	case byID:
		f.expire(w, id)
	default:
		http.NotFound(w, r)
	}
	f.notify()
}

func (f *fakeAlertmanager) answer(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		f.t.Error(err)
	}
}

// filtered reads matchers such as review="x"; without any, or with others than
// equality, the test has a mistake.
func (f *fakeAlertmanager) filtered(r *http.Request) map[string]string {
	out := map[string]string{}
	for _, m := range r.URL.Query()["filter"] {
		name, value, ok := strings.Cut(m, `="`)
		if !ok || !strings.HasSuffix(value, `"`) {
			f.t.Errorf("filter %q", m)
		}
		out[name] = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.TrimSuffix(value, `"`))
	}
	if out["alertname"] == "" || out["review"] == "" {
		f.t.Errorf("a list of more than one review's is asked for: %v", out)
	}
	return out
}

func (f *fakeAlertmanager) listed(r *http.Request) []*fakeAlert {
	want, out := f.filtered(r), []*fakeAlert{}
	for _, a := range f.alerts {
		wanted := a.EndsAt.After(f.clock())
		for name, value := range want {
			wanted = wanted && a.Labels[name] == value
		}
		if wanted {
			out = append(out, a)
		}
	}
	return out
}

func (f *fakeAlertmanager) post(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var batch []*fakeAlert
	if err := conforms(f.alertSchema, body, &batch); err != nil {
		f.t.Errorf("POST alerts: %v\n%s", err, body)
		http.Error(w, `"bad request"`, http.StatusBadRequest)
		return
	}
	for _, a := range batch {
		if a.EndsAt.Before(a.StartsAt) {
			f.t.Errorf("an alert starts at %s and ends at %s", a.StartsAt, a.EndsAt)
		}
		key := fmt.Sprint(a.Labels)
		if old := f.alerts[key]; old != nil {
			a.merge(old, f.clock())
		}
		f.alerts[key] = a
	}
}

// merge is types.Alert.Merge, for spans that overlap (provider/mem.Put).
func (a *fakeAlert) merge(old *fakeAlert, now time.Time) {
	a.told = old.told
	overlap := a.EndsAt.After(old.StartsAt) && a.EndsAt.Before(old.EndsAt) || a.StartsAt.After(old.StartsAt) && a.StartsAt.Before(old.EndsAt)
	if !overlap {
		return
	}
	if old.StartsAt.Before(a.StartsAt) {
		a.StartsAt = old.StartsAt
	}
	over, wasOver := !a.EndsAt.After(now), !old.EndsAt.After(now)
	if old.EndsAt.After(a.EndsAt) && (!over || wasOver) {
		a.EndsAt = old.EndsAt
	}
}

func (f *fakeAlertmanager) silencesOf(r *http.Request) []*fakeSilence {
	want, out := f.filtered(r), []*fakeSilence{}
	for _, s := range f.silences {
		s.Status = map[string]string{"state": s.state(f.clock())}
		if s.matches(want) {
			out = append(out, s)
		}
	}
	return out
}

func (s *fakeSilence) state(now time.Time) string {
	switch {
	case !s.EndsAt.After(now):
		return "expired"
	case s.StartsAt.After(now):
		return "pending"
	}
	return "active"
}

func (s *fakeSilence) matches(labels map[string]string) bool {
	for _, m := range s.Matchers {
		if m.IsRegex || labels[m.Name] != m.Value {
			return false
		}
	}
	return true
}

func (f *fakeAlertmanager) silence(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	made, now := &fakeSilence{}, f.clock()
	if err := conforms(f.silenceSchema, body, made); err != nil || !made.EndsAt.After(now) || !made.StartsAt.Before(made.EndsAt) {
		f.t.Errorf("POST silences: %v\n%s", err, body)
		http.Error(w, `"bad request"`, http.StatusBadRequest)
		return
	}
	i := slices.IndexFunc(f.silences, func(s *fakeSilence) bool { return s.ID == made.ID })
	switch {
	case made.ID != "" && i < 0:
		http.Error(w, `"silence not found"`, http.StatusNotFound)
		return
	case i >= 0 && f.silences[i].state(now) == "active" && f.silences[i].StartsAt.Unix() == made.StartsAt.Unix():
		f.silences[i] = made
	default:
		if i >= 0 {
			f.silences[i].EndsAt = now
		}
		made.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", len(f.silences)+1)
		if made.StartsAt.Before(now) {
			made.StartsAt = now
		}
		f.silences = append(f.silences, made)
	}
	f.answer(w, map[string]string{"silenceID": made.ID})
}

func (f *fakeAlertmanager) expire(w http.ResponseWriter, id string) {
	for _, s := range f.silences {
		if s.ID == id && s.EndsAt.After(f.clock()) {
			s.EndsAt = f.clock()
			return
		}
	}
	http.Error(w, `"not found, or expired already"`, http.StatusInternalServerError)
}

// notify logs what receivers are told after a request, as if groups were
// flushed at once.
func (f *fakeAlertmanager) notify() {
	now := f.clock()
	for _, key := range slices.Sorted(maps.Keys(f.alerts)) {
		a := f.alerts[key]
		muted := slices.ContainsFunc(f.silences, func(s *fakeSilence) bool { return s.state(now) == "active" && s.matches(a.Labels) })
		status := "firing"
		if !a.EndsAt.After(now) {
			status = "resolved"
		}
		if muted || status == a.told || status == "resolved" && a.told == "" {
			continue
		}
		a.told = status
		f.told = append(f.told, status+" "+a.Labels["severity"])
	}
}

// firing are the alerts that have not ended.
func (f *fakeAlertmanager) firing() []*fakeAlert {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*fakeAlert
	for _, a := range f.alerts {
		if a.EndsAt.After(f.clock()) {
			out = append(out, a)
		}
	}
	return out
}

// quieting are the silences that have not ended.
func (f *fakeAlertmanager) quieting() []*fakeSilence {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.silences), func(s *fakeSilence) bool { return s.state(f.clock()) == "expired" })
}

// said is what receivers were told so far.
func (f *fakeAlertmanager) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.told, ", ")
}
