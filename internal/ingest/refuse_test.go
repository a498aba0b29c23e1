package ingest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

func TestRequestsThatCanNotBeAccepted(t *testing.T) {
	small := ingest.Options{MaxBody: 2000, MaxEvents: 3}
	four := "[" + strings.Repeat("{},", 3) + "{}]"
	tests := []struct {
		name    string
		request *http.Request
		status  int
		code    string
		detail  string
	}{
		{"empty", request("POST", ""), 400, "empty_body", "empty"},
		{"only white space", request("POST", " \r\n\t"), 400, "empty_body", "empty"},
		{"too large", request("POST", strings.Repeat(" ", 2001)), 413, "body_too_large", "2000 bytes"},
		{"too large, length not told", chunked(strings.Repeat(" ", 2001)), 413, "body_too_large", "2000 bytes"},
		{"too large once inflated", request("POST", zip(t, strings.Repeat(" ", 1<<20)), "Content-Encoding", "gzip"),
			413, "body_too_large", "2000 bytes"},
		{"too many events", request("POST", four), 413, "too_many_events", "limit is 3"},
		{"unknown compression", request("POST", "x", "Content-Encoding", "br"), 415, "unsupported_encoding", "gzip"},
		{"not gzip", request("POST", "hello", "Content-Encoding", "gzip"), 400, "corrupt_body", "gzip"},
		{"cut gzip", request("POST", zip(t, gridEvent("a"))[:40], "Content-Encoding", "gzip"), 400, "corrupt_body", "gzip"},
		{"get", request("GET", ""), 405, "method_not_allowed", "OPTIONS, POST"},
		{"put", request("PUT", gridEvent("a")), 405, "method_not_allowed", "OPTIONS, POST"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, q := newSubscriber(t, small)
			detail := wantProblem(t, serve(s.Events(), tt.request), tt.status, tt.code)
			if !strings.Contains(detail, tt.detail) {
				t.Errorf("detail %q does not say %q", detail, tt.detail)
			}
			if len(q.all()) != 0 {
				t.Error("something was queued")
			}
		})
	}
}

// chunked is a request whose length is not known before it is read.
func chunked(body string) *http.Request {
	r := request(http.MethodPost, "")
	r.Body, r.ContentLength = io.NopCloser(iotest.OneByteReader(strings.NewReader(body))), -1
	return r
}

func TestBodiesAtTheLimitAreAccepted(t *testing.T) {
	body := gridEvent("a")
	s, _ := newSubscriber(t, ingest.Options{MaxBody: int64(len(body))})
	wantAnswer(t, serve(s.Events(), request("POST", body)), 1, 0)
	wantAnswer(t, serve(s.Events(), chunked(body)), 1, 0)
	wantAnswer(t, serve(s.Events(), request("POST", zip(t, body), "Content-Encoding", "gzip")), 1, 0)
}

func TestAllowIsSentWith405(t *testing.T) {
	s, _ := newSubscriber(t, ingest.Options{})
	if got := serve(s.Events(), request("DELETE", "")).Header().Get("Allow"); got != "OPTIONS, POST" {
		t.Errorf("events allow %q", got)
	}
	w := serve(s.Alerts(), request("OPTIONS", "", "WebHook-Request-Origin", "eventgrid.azure.net"))
	wantProblem(t, w, http.StatusMethodNotAllowed, "method_not_allowed")
	if got := w.Header().Get("Allow"); got != "POST" {
		t.Errorf("alerts allow %q", got)
	}
}

func TestQueueFaultsAre503AndTellNothing(t *testing.T) {
	secret := "dial tcp 10.1.2.3:5671: refused"
	tests := map[string]error{
		"fault":  errors.New(secret),
		"large":  fmt.Errorf("%s: %w", secret, lineage.ErrTooLarge),
		"closed": lineage.ErrClosed,
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.ErrorLevel)
			s, q := newSubscriber(t, ingest.Options{
				Queue: &memory{fail: func(context.Context) error { return fault }}, Logger: zap.New(core)})
			w := serve(s.Events(), request("POST", gridEvent("a")))
			wantProblem(t, w, http.StatusServiceUnavailable, "queue_unavailable")
			if strings.Contains(w.Body.String(), "10.1.2.3") {
				t.Errorf("the answer tells internals: %s", w.Body)
			}
			if logs.Len() != 1 || logs.All()[0].ContextMap()["error"] != fault.Error() {
				t.Errorf("log %v", logs.All())
			}
			if len(q.all()) != 0 {
				t.Error("queued")
			}
		})
	}
}

func TestSlowQueueIsTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked := &memory{fail: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		s, _ := newSubscriber(t, ingest.Options{Queue: blocked})
		start := time.Now()
		wantProblem(t, serve(s.Events(), request("POST", gridEvent("a"))), http.StatusServiceUnavailable, "timeout")
		if took := time.Since(start); took != ingest.DefaultTimeout {
			t.Errorf("took %v", took)
		}
	})
}

func TestTooManyRequestsInFlightAreTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		busy := &memory{fail: func(context.Context) error { <-free; return nil }}
		s, _ := newSubscriber(t, ingest.Options{Queue: busy, MaxInFlight: 2})
		done := make(chan *httptest.ResponseRecorder)
		for range 2 {
			go func() { done <- serve(s.Events(), request("POST", gridEvent("a"))) }()
		}
		synctest.Wait()
		wantProblem(t, serve(s.Alerts(), request("POST", gridEvent("b"))), http.StatusServiceUnavailable, "overloaded")
		close(free)
		wantAnswer(t, <-done, 1, 0)
		wantAnswer(t, <-done, 1, 0)
		wantAnswer(t, serve(s.Events(), request("POST", gridEvent("c"))), 1, 0)
	})
}

func TestBytesInFlightWaitForRoomThenAreTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		busy := &memory{fail: func(context.Context) error { <-free; return nil }}
		body := gridEvent("a")
		limit := int64(len(body)) + 10
		s, _ := newSubscriber(t, ingest.Options{Queue: busy, MaxBody: limit, MaxInFlightBytes: limit})
		done := make(chan *httptest.ResponseRecorder)
		post := func() { done <- serve(s.Events(), request("POST", body)) }
		go post()
		synctest.Wait()
		start := time.Now()
		wantProblem(t, serve(s.Events(), request("POST", body)), http.StatusServiceUnavailable, "overloaded")
		if waited := time.Since(start); waited != ingest.DefaultTimeout/4 {
			t.Errorf("waited %v", waited)
		}
		go post() // waits, and gets the room that the first gives back
		synctest.Wait()
		close(free)
		wantAnswer(t, <-done, 1, 0)
		wantAnswer(t, <-done, 1, 0)
	})
}

func TestRateIsLimited(t *testing.T) {
	now := noon
	s, _ := newSubscriber(t, ingest.Options{RatePerSecond: 2, Burst: 2, Now: func() time.Time { return now }})
	post := func() *httptest.ResponseRecorder { return serve(s.Events(), request("POST", gridEvent("a"))) }
	wantAnswer(t, post(), 1, 0)
	wantAnswer(t, post(), 1, 0)
	wantProblem(t, post(), http.StatusServiceUnavailable, "rate_limited")
	now = now.Add(500 * time.Millisecond)
	wantAnswer(t, post(), 1, 0)
}

func TestStrangersDoNotUseUpTheRate(t *testing.T) {
	auth, err := ingest.SharedSecret(ingest.SecretOptions{Secrets: []string{"0123456789abcdef"}})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newSubscriber(t, ingest.Options{
		Authenticator: auth, RatePerSecond: 1, Burst: 1, Now: func() time.Time { return noon }})
	for range 5 {
		wantProblem(t, serve(s.Events(), request("POST", gridEvent("a"))), http.StatusUnauthorized, "unauthenticated")
	}
	r := request("POST", gridEvent("a"), ingest.DefaultSecretHeader, "0123456789abcdef")
	wantAnswer(t, serve(s.Events(), r), 1, 0)
}

func TestSlowSenderIsCutOff(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{Timeout: 50 * time.Millisecond})
	server := httptest.NewServer(s.Events())
	defer server.Close()
	conn := dial(t, server)
	_, _ = io.WriteString(conn, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(readAll(t, resp.Body), "slow_body") {
		t.Errorf("status %d", resp.StatusCode)
	}
	if len(q.all()) != 0 {
		t.Error("queued")
	}
}

func TestSenderThatLeavesStopsTheSend(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error, 1)
	waiting := &memory{fail: func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		left <- ctx.Err()
		return ctx.Err()
	}}
	s, _ := newSubscriber(t, ingest.Options{Queue: waiting})
	server := httptest.NewServer(s.Events())
	defer server.Close()
	conn := dial(t, server)
	body := gridEvent("a")
	_, _ = fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	<-entered
	_ = conn.Close()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("send ended with %v", err)
	}
}

func TestCutBodyIsNotAccepted(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	r := request("POST", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(gridEvent("a")), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.ContentLength = 5000
	wantProblem(t, serve(s.Events(), r), http.StatusServiceUnavailable, "client_gone")
	if len(q.all()) != 0 {
		t.Error("half a body was queued")
	}
}

func dial(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
