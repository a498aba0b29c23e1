package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// emit makes n events, legacy drifts named d0, d1, ...
func emit(w *sandbox.Workspace, n int) {
	for i := range n {
		w.ReportDrift(sandbox.DriftReport{Name: "d" + strconv.Itoa(i), Run: "r" + strconv.Itoa(i)})
	}
}

// names are the drifts' names in the order of arrival.
func names(t *testing.T, s *sink) []string {
	t.Helper()
	var out []string
	for _, e := range s.events(t) {
		out = append(out, dataOf(e)["dataDriftName"].(string))
	}
	return out
}

func TestHandshakeComesFirst(t *testing.T) {
	tests := []struct {
		name   string
		schema sandbox.Schema
		check  func(t *testing.T, first received)
	}{
		{"event grid", sandbox.EventGrid, func(t *testing.T, r received) {
			events := decodeEvents(t, r.body)
			if r.method != "POST" || r.header.Get("aeg-event-type") != "SubscriptionValidation" || len(events) != 1 {
				t.Errorf("got %s with %v and %d events", r.method, r.header, len(events))
			}
			data := dataOf(events[0])
			if typeOf(events[0]) != "SubscriptionValidationEvent" || data["validationCode"] == "" || data["validationUrl"] == nil {
				t.Errorf("got %v", events[0])
			}
		}},
		{"cloudevents", sandbox.CloudEvents, func(t *testing.T, r received) {
			if r.method != "OPTIONS" || r.header.Get("WebHook-Request-Origin") != "eventgrid.azure.net" || len(r.body) != 0 {
				t.Errorf("got %s with %v and body %q", r.method, r.header, r.body)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sink{}
				w := start(t, s, sandbox.Options{}, sandbox.Subscription{
					Schema: tt.schema, Headers: http.Header{"X-Warden-Secret": {"hush"}},
				})
				emit(w, 1)
				flush(t, w)
				if len(s.requests) != 2 {
					t.Fatalf("got %d requests, want handshake and event", len(s.requests))
				}
				tt.check(t, s.requests[0])
				for i, r := range s.requests {
					if r.header.Get("X-Warden-Secret") != "hush" || r.query != "code=sesame" {
						t.Errorf("request %d: the secret is missing: %v ?%s", i, r.header, r.query)
					}
				}
			})
		})
	}
}

func TestDeliveryHeaders(t *testing.T) {
	tests := []struct {
		name string
		sub  sandbox.Subscription
		want map[string]string
	}{
		{"event grid", sandbox.Subscription{Name: "aml-events"}, map[string]string{
			"Aeg-Event-Type": "Notification", "Aeg-Subscription-Name": "AML-EVENTS", "Aeg-Delivery-Count": "0",
			"Aeg-Data-Version": "2", "Aeg-Metadata-Version": "1", "Content-Type": "application/json; charset=utf-8",
		}},
		{"cloudevents", sandbox.Subscription{Schema: sandbox.CloudEvents}, map[string]string{
			"Aeg-Event-Type": "Notification", "Aeg-Subscription-Name": "MODELWARDEN", "Aeg-Data-Version": "",
			"Content-Type": "application/cloudevents+json; charset=utf-8",
		}},
		{"cloudevents in batches", sandbox.Subscription{Schema: sandbox.CloudEvents, BatchEvents: 10}, map[string]string{
			"Content-Type": "application/cloudevents-batch+json; charset=utf-8",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sink{}
				w := start(t, s, sandbox.Options{}, tt.sub)
				emit(w, 1)
				flush(t, w)
				got := s.deliveries()[0]
				for name, want := range tt.want {
					if got.header.Get(name) != want {
						t.Errorf("%s: got %q, want %q", name, got.header.Get(name), want)
					}
				}
				if id := decodeEvents(t, got.body)[0]["id"]; got.header.Get("aeg-output-event-id") != id {
					t.Errorf("aeg-output-event-id: got %q, want %q", got.header.Get("aeg-output-event-id"), id)
				}
			})
		})
	}
}

func TestBatches(t *testing.T) {
	tests := []struct {
		name string
		sub  sandbox.Subscription
		want []int
	}{
		{"off by default", sandbox.Subscription{}, []int{1, 1, 1, 1, 1, 1, 1}},
		{"by count", sandbox.Subscription{BatchEvents: 3}, []int{3, 3, 1}},
		{"by bytes", sandbox.Subscription{BatchEvents: 100, BatchBytes: 2000}, []int{2, 2, 2, 1}},
		{"an event over the limit goes alone", sandbox.Subscription{BatchEvents: 100, BatchBytes: 10}, []int{1, 1, 1, 1, 1, 1, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sink{}
				w := idle(t, s, tt.sub)
				emit(w, 7)
				check(t, w.Start())
				flush(t, w)
				var sizes []int
				for _, r := range s.deliveries() {
					sizes = append(sizes, len(decodeEvents(t, r.body)))
				}
				equal(t, sizes, tt.want)
			})
		})
	}
}

func TestBatchFailsAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{script: []int{500}}
		w := start(t, s, sandbox.Options{}, sandbox.Subscription{BatchEvents: 5, Shuffle: 11})
		emit(w, 11)
		flush(t, w)
		got := s.deliveries()
		if len(got) != 4 || string(got[0].body) != string(got[3].body) || len(s.events(t)) != 11 {
			t.Errorf("got %d requests and %d events, want the first batch to come again whole", len(got), len(s.events(t)))
		}
	})
}

func TestCopiesShuffleAndDropFollowTheSeed(t *testing.T) {
	play := func(seed int64, sub sandbox.Subscription) (order []string, stats sandbox.DeliveryStats) {
		synctest.Test(t, func(t *testing.T) {
			s := &sink{}
			w := start(t, s, sandbox.Options{Seed: seed}, sub)
			emit(w, 40)
			flush(t, w)
			order, stats = names(t, s), w.Stats()
		})
		return order, stats
	}
	sub := sandbox.Subscription{Copies: 3, Shuffle: 30, Drop: 0.25, BatchEvents: 7}
	first, stats := play(7, sub)
	again, _ := play(7, sub)
	other, _ := play(8, sub)
	equal(t, again, first)
	if strings.Join(first, " ") == strings.Join(other, " ") {
		t.Error("another seed gave the same order")
	}
	if stats.Emitted != 120 || stats.Delivered != len(first) || stats.Dropped+stats.Delivered != 120 || stats.Dropped < 10 || stats.Dropped > 50 {
		t.Errorf("got %+v for 40 events, 3 copies, a quarter dropped", stats)
	}
	ordered, _ := play(7, sandbox.Subscription{Copies: 3})
	count := map[string]int{}
	for i, name := range ordered {
		if count[name]++; name != "d"+strconv.Itoa(i/3) {
			t.Fatalf("without Shuffle the order changed: %v", ordered)
		}
	}
	for name, n := range count {
		if n != 3 {
			t.Errorf("%s came %d times, want 3", name, n)
		}
	}
}

func TestShuffleStaysWithinItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		w := start(t, s, sandbox.Options{Seed: 3}, sandbox.Subscription{Shuffle: 10})
		emit(w, 35)
		time.Sleep(time.Second) // the last window lets go by itself
		synctest.Wait()
		got, moved := names(t, s), 0
		if len(got) != 35 {
			t.Fatalf("got %d events, want 35", len(got))
		}
		for i, name := range got {
			n, _ := strconv.Atoi(name[1:])
			if n/10 != i/10 {
				t.Errorf("%s arrived as number %d", name, i)
			}
			if n != i {
				moved++
			}
		}
		if moved < 10 {
			t.Errorf("only %d events moved", moved)
		}
	})
}

func TestQueueLimitSendsTheRestToTheDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		w := idle(t, s, sandbox.Subscription{QueueLimit: 3, DeadLetterLimit: 2})
		emit(w, 8)
		dead := w.DeadLetters()
		if stats := w.Stats(); stats.Dead != 5 || stats.Waiting != 3 || len(dead) != 2 {
			t.Fatalf("got %+v and %d dead letters kept, want 5 dead, 2 kept", stats, len(dead))
		}
		if last := dead[1]; last.Reason != "overflow" || !strings.Contains(string(last.Event), `"d7"`) {
			t.Errorf("the newest dead letter is %+v", last)
		}
		check(t, w.Start())
		flush(t, w)
		equal(t, names(t, s), []string{"d0", "d1", "d2"})
	})
}

func TestParallelDeliversEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{script: []int{500, 200, 503, 500}}
		w := start(t, s, sandbox.Options{}, sandbox.Subscription{Parallel: 8, BatchEvents: 5})
		emit(w, 203)
		flush(t, w)
		seen := map[string]bool{}
		for _, name := range names(t, s) {
			if seen[name] {
				t.Errorf("%s came twice", name)
			}
			seen[name] = true
		}
		if len(seen) != 203 || w.Stats().Waiting != 0 {
			t.Errorf("got %d events, %+v", len(seen), w.Stats())
		}
	})
}

func TestDeletionNoticeComesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{script: []int{500, 200}}
		w := start(t, s, sandbox.Options{}, sandbox.Subscription{Shuffle: 4})
		emit(w, 6)
		check(t, w.DeleteSubscription("modelwarden"))
		emit(w, 1)
		flush(t, w)
		got := s.deliveries()
		last := got[len(got)-1]
		if len(s.events(t)) != 7 || last.header.Get("aeg-event-type") != "SubscriptionDeletion" {
			t.Errorf("got %d events, the last with %v", len(s.events(t)), last.header)
		}
		e := decodeEvents(t, last.body)[0]
		if id, _ := dataOf(e)["eventSubscriptionId"].(string); !strings.HasSuffix(id, "/eventSubscriptions/modelwarden") {
			t.Errorf("got %v", e)
		}
		if err := w.DeleteSubscription("modelwarden"); !errors.Is(err, sandbox.ErrState) {
			t.Errorf("deleting again: got %v", err)
		}
		if err := w.DeleteSubscription("other"); !errors.Is(err, sandbox.ErrNotFound) {
			t.Errorf("deleting another: got %v", err)
		}
	})
}

func TestFlushEndsWithItsContextAndWithTheWorkspace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &sink{always: 500}, sandbox.Options{}, sandbox.Subscription{})
		emit(w, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		go func() {
			time.Sleep(time.Second)
			_ = w.Close()
		}()
		if err := w.Flush(t.Context()); !errors.Is(err, sandbox.ErrState) {
			t.Errorf("got %v, want that it was closed", err)
		}
	})
}

func TestLifecycleToleratesOddOrders(t *testing.T) {
	w := sandbox.New(sandbox.Options{})
	check(t, w.Close())
	check(t, w.Close())
	if err := w.Start(); !errors.Is(err, sandbox.ErrState) {
		t.Errorf("start after close: got %v", err)
	}
	if err := w.Subscribe(sandbox.Subscription{URL: "http://warden.test/"}); !errors.Is(err, sandbox.ErrState) {
		t.Errorf("subscribe after close: got %v", err)
	}
}

func TestSubscriptionsAreChecked(t *testing.T) {
	bad := map[string]sandbox.Subscription{
		"no address":      {},
		"not http":        {URL: "ftp://warden.test/?code=sesame"},
		"schema":          {URL: "http://warden.test/?code=sesame", Schema: "custom"},
		"casing":          {URL: "http://warden.test/?code=sesame", Casing: "snake"},
		"too many events": {URL: "http://warden.test/?code=sesame", BatchEvents: 5001},
		"too many bytes":  {URL: "http://warden.test/?code=sesame", BatchBytes: 1<<20 + 1},
		"drop":            {URL: "http://warden.test/?code=sesame", Drop: 1.5},
	}
	for name, sub := range bad {
		t.Run(name, func(t *testing.T) {
			w := sandbox.New(sandbox.Options{Subscriptions: []sandbox.Subscription{sub}})
			defer func() { check(t, w.Close()) }()
			if err := w.Start(); err == nil || strings.Contains(err.Error(), "sesame") {
				t.Errorf("got %v, want a refusal without the secret", err)
			}
		})
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		w := sandbox.New(sandbox.Options{
			Logger:     zap.New(core),
			HTTPClient: &http.Client{Transport: sandbox.InMemory{}},
			Subscriptions: []sandbox.Subscription{{
				URL: "http://warden.test/events?code=sesame", Headers: http.Header{"X-Secret": {"hush"}},
			}},
		})
		check(t, w.Start())
		emit(w, 1)
		time.Sleep(time.Minute)
		check(t, w.Close())
		if logs.Len() == 0 {
			t.Error("failures were not logged")
		}
		for _, entry := range logs.All() {
			for key, value := range entry.ContextMap() {
				if text, _ := value.(string); strings.Contains(text, "sesame") || strings.Contains(text, "hush") {
					t.Errorf("%s: %s = %s", entry.Message, key, text)
				}
			}
		}
	})
}

// TestDeliversOverARealConnection is the one test with sockets: the default
// client, a server, both handshakes.
func TestDeliversOverARealConnection(t *testing.T) {
	for _, schema := range []sandbox.Schema{sandbox.EventGrid, sandbox.CloudEvents} {
		s := &sink{}
		server := httptest.NewServer(s)
		w := sandbox.New(sandbox.Options{})
		check(t, w.Start())
		check(t, w.Subscribe(sandbox.Subscription{URL: server.URL + "/events", Schema: schema, Parallel: 4, BatchEvents: 3}))
		emit(w, 20)
		flush(t, w)
		check(t, w.Close())
		server.Close()
		if got := len(s.events(t)); got != 20 {
			t.Errorf("%s: got %d events, want 20", schema, got)
		}
	}
}
