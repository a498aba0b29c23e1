package sandbox_test

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// TestRetrySchedule follows one event through Event Grid's waits, a day's
// worth of them, in virtual time.
func TestRetrySchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{always: 500}
		w := start(t, s, sandbox.Options{}, sandbox.Subscription{})
		emit(w, 1)
		flush(t, w)
		want := []time.Duration{
			10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute,
			30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
		}
		got := s.deliveries()
		for i, r := range got[1:] {
			if wait := r.at.Sub(got[i].at); wait != want[i] {
				t.Errorf("attempt %d came after %v, want %v", i+2, wait, want[i])
			}
			if count := r.header.Get("aeg-delivery-count"); count != strconv.Itoa(i+1) {
				t.Errorf("attempt %d: aeg-delivery-count %q", i+2, count)
			}
		}
		dead := w.DeadLetters()
		if len(got) != len(want)+1 || len(dead) != 1 || dead[0].Reason != "expired" || dead[0].Attempts != len(got) || dead[0].Status != 500 {
			t.Errorf("got %d attempts and dead letters %+v, want %d attempts in 24 h, then expired", len(got), dead, len(want)+1)
		}
	})
}

func TestAnswersDecideAboutRetries(t *testing.T) {
	tests := []struct {
		status int
		retry  time.Duration // 0: dead-lettered at once
	}{
		{200, -1}, {201, -1}, {202, -1}, {204, -1},
		{400, 0}, {401, 0}, {403, 0}, {404, 0}, {413, 0},
		{408, 2 * time.Minute}, {503, 30 * time.Second},
		{205, 10 * time.Second}, {302, 10 * time.Second}, {409, 10 * time.Second}, {429, 10 * time.Second},
		{500, 10 * time.Second}, {504, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(tt.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sink{script: []int{tt.status}}
				w := start(t, s, sandbox.Options{}, sandbox.Subscription{})
				emit(w, 1)
				flush(t, w)
				got, dead := s.deliveries(), w.DeadLetters()
				switch {
				case tt.retry < 0 && (len(got) != 1 || len(dead) != 0):
					t.Errorf("success was tried %d times, dead letters: %v", len(got), dead)
				case tt.retry == 0 && (len(got) != 1 || len(dead) != 1 || dead[0].Reason != "rejected" || dead[0].Status != tt.status):
					t.Errorf("got %d attempts, dead letters %+v", len(got), dead)
				case tt.retry > 0 && (len(got) != 2 || got[1].at.Sub(got[0].at) != tt.retry || len(dead) != 0):
					t.Errorf("got %d attempts, want a second one after %v; dead letters %v", len(got), tt.retry, dead)
				}
			})
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, followed := &sink{}, false
		redirect := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				followed = true
			}
			if r.Header.Get("aeg-event-type") == "Notification" {
				http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
				return
			}
			s.ServeHTTP(rw, r)
		})
		w := sandbox.New(sandbox.Options{
			HTTPClient:    &http.Client{Transport: sandbox.InMemory{"warden.test": redirect}},
			Subscriptions: []sandbox.Subscription{{URL: "http://warden.test/events"}},
		})
		check(t, w.Start())
		emit(w, 1)
		synctest.Wait()
		if stats := w.Stats(); followed || stats.Failures != 1 {
			t.Errorf("followed: %v, %+v", followed, stats)
		}
		check(t, w.Close())
	})
}

func TestTimeScaleShortensTheWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{script: []int{500, 500, 500}}
		w := start(t, s, sandbox.Options{}, sandbox.Subscription{TimeScale: 0.001})
		begun := time.Now()
		emit(w, 1)
		flush(t, w)
		if got := time.Since(begun); got != 100*time.Millisecond {
			t.Errorf("took %v, want 10+30+60 ms", got)
		}
	})
}

func TestNoAnswerInTimeIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{hang: true}
		w := start(t, s, sandbox.Options{}, sandbox.Subscription{})
		emit(w, 1)
		time.Sleep(41 * time.Second) // 30 s of patience, 10 s of waiting
		synctest.Wait()
		got := s.deliveries()
		if len(got) != 2 || got[1].at.Sub(got[0].at) != 40*time.Second {
			t.Errorf("got %d attempts, want a second one after 40 s", len(got))
		}
	})
}

func TestFailingEndpointHoldsNewEventsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{always: 500}
		w := start(t, s, sandbox.Options{}, sandbox.Subscription{})
		emit(w, 10)
		synctest.Wait()
		if got := len(s.deliveries()); got != 10 {
			t.Fatalf("got %d attempts, want all 10", got)
		}
		emit(w, 1)
		synctest.Wait()
		if got := len(s.deliveries()); got != 10 {
			t.Errorf("a new event was sent at once to an endpoint that fails")
		}
		s.mu.Lock()
		s.always = 0
		s.mu.Unlock()
		flush(t, w)
		if got := len(s.events(t)); got != 11 {
			t.Errorf("got %d events in the end, want 11", got)
		}
	})
}

func TestHandshakeIsRepeatedUntilAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, refusals := &sink{}, 3
		refuse := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if refusals--; refusals >= 0 {
				rw.WriteHeader(http.StatusAccepted) // right body, wrong code
			}
			s.ServeHTTP(rw, r)
		})
		w := sandbox.New(sandbox.Options{
			HTTPClient:    &http.Client{Transport: sandbox.InMemory{"warden.test": refuse}},
			Subscriptions: []sandbox.Subscription{{URL: "http://warden.test/events"}},
		})
		check(t, w.Start())
		defer func() { check(t, w.Close()) }()
		begun := time.Now()
		emit(w, 1)
		flush(t, w)
		if got, want := time.Since(begun), 100*time.Second; got != want {
			t.Errorf("delivered after %v, want %v: 10 s + 30 s + 1 m", got, want)
		}
	})
}
