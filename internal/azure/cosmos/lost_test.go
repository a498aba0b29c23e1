package cosmos_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/modelwarden/modelwarden/internal/azure/cosmos"
	"github.com/modelwarden/modelwarden/internal/lineage"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

func record(op lineage.Op, id, body, version string) lineage.Change {
	return lineage.Change{Op: op, Record: lineage.Record{ID: id, Body: []byte(body), Version: version}}
}

// commit makes changes that must succeed.
func (h *harness) commit(t testing.TB, changes ...lineage.Change) []string {
	t.Helper()
	versions, err := h.store.Commit(t.Context(), "p", changes)
	if err != nil {
		t.Fatal(err)
	}
	return versions
}

func (h *harness) get(t testing.TB, id string) lineage.Record {
	t.Helper()
	got, err := h.store.Get(t.Context(), "p", id)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// onBatch lets faults befall batches only.
func onBatch() *server.Faults {
	return &server.Faults{Only: func(op server.Operation, _ *http.Request) bool { return op == server.Batch }}
}

// TestLostAnswers loses the answer to the first try of every kind of commit:
// it is made once and the versions are the records' own.
func TestLostAnswers(t *testing.T) {
	for name, fault := range map[string]server.Fault{"408": lostTimeout, "503": lostUnavailable, "connection": lostConnection} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				faults := onBatch()
				h := openHarness(t, server.Options{Faults: faults})
				faults.Add(fault)
				v := h.commit(t, record(lineage.Create, "a", "1", ""), record(lineage.Create, "b", "1", ""))
				faults.Add(fault)
				v2 := h.commit(t, record(lineage.Replace, "a", "2", v[0]), record(lineage.Delete, "b", "", v[1]), record(lineage.Upsert, "c", "2", ""))
				if a, c := h.get(t, "a"), h.get(t, "c"); a.Version != v2[0] || string(a.Body) != "2" || v2[1] != "" || c.Version != v2[2] {
					t.Errorf("versions %q, records %+v, %+v", v2, a, c)
				}
				faults.Add(fault)
				h.commit(t, record(lineage.Delete, "a", "", v2[0]))
				faults.Add(server.Fault{}, fault)
				h.commit(t, record(lineage.Delete, "c", "", v2[2]), record(lineage.Delete, "a", "", ""))
				if n := h.server.Stats()[server.Batch].Requests; n != 5 {
					t.Errorf("%d batches for 4 commits; only the one that meets an absent record takes two", n)
				}
				if r := h.get(t, "c"); r.Version != "" {
					t.Errorf("c is still there: %+v", r)
				}
			})
		})
	}
}

// TestDoubtIsNoExcuse fails the first try without effect while somebody else
// holds the record: the conflict is real.
func TestDoubtIsNoExcuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		faults := onBatch()
		h := openHarness(t, server.Options{Faults: faults})
		v := h.commit(t, record(lineage.Create, "a", "theirs", ""))
		for _, c := range []struct {
			change lineage.Change
			want   error
		}{
			{record(lineage.Create, "a", "ours", ""), lineage.ErrExists},
			{record(lineage.Replace, "a", "ours", `"old"`), lineage.ErrConflict},
			{record(lineage.Delete, "a", "", `"old"`), lineage.ErrConflict},
		} {
			faults.Add(server.Fault{Status: 503}, server.Fault{Drop: true})
			if _, err := h.store.Commit(t.Context(), "p", []lineage.Change{record(lineage.Upsert, "b", "x", ""), c.change}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		}
		if a := h.get(t, "a"); a.Version != v[0] {
			t.Errorf("a was changed: %+v", a)
		}
	})
}

// intruder lets somebody else act after a number of requests.
type intruder struct {
	policy.Transporter
	after int
	act   func()
}

func (i *intruder) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("x-ms-cosmos-is-batch-request") != "" {
		if i.after--; i.after == -1 {
			i.act()
		}
	}
	return i.Transporter.Do(r)
}

// TestOverwrittenWhileInDoubt loses the answer, and before anybody looks
// somebody else writes over one of the two records: the commit was made, and
// the version it reports for that one meets the other's.
func TestOverwrittenWhileInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		o := h.options()
		lost := &losing{Transporter: o.Transport, act: func() { h.commit(t, record(lineage.Upsert, "a", "theirs", "")) }}
		o.Transport = lost
		ours, err := cosmos.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		v, err := ours.Commit(t.Context(), "p", []lineage.Change{record(lineage.Create, "a", "ours", ""), record(lineage.Create, "b", "ours", "")})
		if err != nil {
			t.Fatal(err)
		}
		if b := h.get(t, "b"); b.Version != v[1] {
			t.Errorf("b is at %s, reported was %s", b.Version, v[1])
		}
		if _, err := ours.Commit(t.Context(), "p", []lineage.Change{record(lineage.Replace, "a", "again", v[0])}); !errors.Is(err, lineage.ErrConflict) {
			t.Errorf("got %v, want a conflict with who wrote over it", err)
		}
		if a := h.get(t, "a"); string(a.Body) != "theirs" || v[0] == "" {
			t.Errorf("a is %q, reported was version %q", a.Body, v[0])
		}
	})
}

// losing loses the answer to the first batch, then lets somebody else act.
type losing struct {
	policy.Transporter
	done bool
	act  func()
}

func (l *losing) Do(r *http.Request) (*http.Response, error) {
	resp, err := l.Transporter.Do(r)
	if r.Header.Get("x-ms-cosmos-is-batch-request") == "" || l.done {
		return resp, err
	}
	l.done = true
	l.act()
	return nil, io.ErrUnexpectedEOF
}

// TestAbsentRecordAppears creates a record between the look that found it
// absent and the batch that relies on it.
func TestAbsentRecordAppears(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		o := h.options()
		o.Transport = &intruder{Transporter: o.Transport, after: 1, act: func() { h.commit(t, record(lineage.Create, "a", "theirs", "")) }}
		ours, err := cosmos.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		if _, err := ours.Commit(t.Context(), "p", []lineage.Change{record(lineage.Delete, "a", "", ""), record(lineage.Create, "b", "1", "")}); err != nil {
			t.Fatal(err)
		}
		if a, b := h.get(t, "a"), h.get(t, "b"); a.Version != "" || b.Version == "" {
			t.Errorf("a %+v, b %+v", a, b)
		}
	})
}

// TestEmptyBatchAnswer: an answer without results is no success and no
// failure; what happened is read back.
func TestEmptyBatchAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, status := range []int{http.StatusOK, http.StatusMultiStatus} {
			h := openHarness(t, server.Options{})
			o := h.options()
			o.Transport = &emptied{o.Transport, status, true}
			ours, err := cosmos.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			v, err := ours.Commit(t.Context(), "p", []lineage.Change{record(lineage.Create, "a", "1", "")})
			if a := h.get(t, "a"); err != nil || a.Version != v[0] {
				t.Errorf("%d: %q, %v, stored is %+v", status, v, err, a)
			}
			_ = ours.Close()
		}
	})
}

type emptied struct {
	policy.Transporter
	status int
	armed  bool
}

func (e *emptied) Do(r *http.Request) (*http.Response, error) {
	resp, err := e.Transporter.Do(r)
	if e.armed && err == nil && r.Header.Get("x-ms-cosmos-is-batch-request") != "" {
		e.armed = false
		resp.StatusCode, resp.Body = e.status, io.NopCloser(strings.NewReader("[]"))
	}
	return resp, err
}

// late keeps the first batch back, as a network does that has it in some
// buffer, and delivers it just before the second.
type late struct {
	policy.Transporter
	held *http.Request
	seen int
}

func (l *late) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("x-ms-cosmos-is-batch-request") == "" {
		return l.Transporter.Do(r)
	}
	if l.seen++; l.seen == 1 {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		l.held = r.Clone(context.WithoutCancel(r.Context()))
		l.held.Body = io.NopCloser(strings.NewReader(string(body)))
		return nil, io.ErrUnexpectedEOF
	}
	if l.seen == 2 {
		if _, err := l.Transporter.Do(l.held); err != nil {
			return nil, err
		}
	}
	return l.Transporter.Do(r)
}

// TestLateEffect: the first try takes effect when it was looked for and not
// found; the conflict of the second is its trace.
func TestLateEffect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		v := h.commit(t, record(lineage.Create, "b", "1", ""))
		for _, changes := range [][]lineage.Change{
			{record(lineage.Create, "a", "1", "")},
			{record(lineage.Replace, "b", "2", v[0])},
			{record(lineage.Delete, "b", "", ""), record(lineage.Create, "c", "1", "")},
		} {
			o := h.options()
			o.Transport = &late{Transporter: o.Transport}
			s := openStore(t, o)
			got, err := s.Commit(t.Context(), "p", changes)
			last := changes[len(changes)-1].Record.ID
			if r := h.get(t, last); err != nil || r.Version != got[len(got)-1] {
				t.Errorf("%s: %q, %v, stored is %+v", last, got, err, r)
			}
		}
	})
}

// TestDeletesOfNothing: one takes one request, and as many as a commit may
// have, which leave no room to prove anything, go as well.
func TestDeletesOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		h.commit(t, record(lineage.Delete, "none", "", ""))
		if n := h.server.Stats()[server.Batch].Requests + h.server.Stats()[server.Query].Requests; n != 1 {
			t.Errorf("%d requests", n)
		}
		var all []lineage.Change
		for i := range lineage.MaxChanges {
			all = append(all, record(lineage.Delete, strings.Repeat("x", i+1), "", ""))
		}
		start := time.Now()
		h.commit(t, all...)
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v of repetitions", d)
		}
		h.commit(t, record(lineage.Create, "xxx", "1", ""))
		h.commit(t, all...)
		if r := h.get(t, "xxx"); r.Version != "" {
			t.Errorf("left is %+v", r)
		}
	})
}
