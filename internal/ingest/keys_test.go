package ingest_test

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

var errDown = errors.New("connection refused")

func down(*http.Request) (*http.Response, error) { return nil, errDown }

// virtual runs a test of keys on a fake clock that both sides share.
func virtual(t *testing.T, test func(t *testing.T, a ingest.Authenticator, keys *keyServer)) {
	t.Helper()
	keys := newKeyServer() // outside: makes keys, which takes real time
	_ = secondKey()
	synctest.Test(t, func(t *testing.T) {
		test(t, newEntra(t, ingest.EntraOptions{Transport: keys}), keys)
		synctest.Wait()
	})
}

func bySecond(t testing.TB) string {
	return sign(t, jose.RS256, secondKey(), "second", claimsWith(time.Now(), nil))
}

func TestKeysAreFetchedOnce(t *testing.T) {
	virtual(t, func(t *testing.T, a ingest.Authenticator, keys *keyServer) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 0) })
		}
		all.Wait()
		if n := keys.asked.Load(); n != 1 {
			t.Errorf("key server was asked %d times", n)
		}
	})
}

func TestRotatedKeyIsPickedUp(t *testing.T) {
	virtual(t, func(t *testing.T, a ingest.Authenticator, keys *keyServer) {
		wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 0)
		keys.publish(map[string]*rsa.PrivateKey{"first": firstKey(), "second": secondKey()})

		// Right after a fetch nobody knows whether the key is new: try again.
		wantStatus(t, a.Authenticate(bearing(bySecond(t))), 503)
		time.Sleep(10 * time.Second)
		wantStatus(t, a.Authenticate(bearing(bySecond(t))), 0)
		wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 0)
	})
}

func TestWithdrawnKeyIsForgotten(t *testing.T) {
	virtual(t, func(t *testing.T, a ingest.Authenticator, keys *keyServer) {
		wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 0)
		keys.publish(map[string]*rsa.PrivateKey{"second": secondKey()})
		time.Sleep(12 * time.Hour)
		_ = a.Authenticate(bearing(token(t, time.Now(), nil))) // old keys serve while new ones are fetched
		synctest.Wait()
		time.Sleep(10 * time.Second)
		wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 401)
		wantStatus(t, a.Authenticate(bearing(bySecond(t))), 0)
	})
}

func TestKeyServerOutageAtStartIsNotTheTokensFault(t *testing.T) {
	faults := map[string]func(*http.Request) (*http.Response, error){
		"unreachable": down,
		"error":       func(*http.Request) (*http.Response, error) { return respond(500, "oops"), nil },
		"not JSON":    func(*http.Request) (*http.Response, error) { return respond(200, "<html>"), nil },
		"no keys":     func(*http.Request) (*http.Response, error) { return respond(200, `{"keys":[]}`), nil },
		"huge": func(*http.Request) (*http.Response, error) {
			return respond(200, `{"keys":[`+strings.Repeat(" ", 2<<20)), nil
		},
		"many keys": func(*http.Request) (*http.Response, error) {
			return respond(200, `{"keys":[`+strings.Repeat("{},", 100)+`{}]}`), nil
		},
		"slow": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, a ingest.Authenticator, keys *keyServer) {
				keys.breakWith(fault)
				start := time.Now()
				wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 503)
				if waited := time.Since(start); waited > 5*time.Second {
					t.Errorf("waited %v for the key server", waited)
				}
				keys.breakWith(nil)
				time.Sleep(10 * time.Second)
				wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 0)
			})
		})
	}
}

func TestKnownKeysOutliveAnOutage(t *testing.T) {
	virtual(t, func(t *testing.T, a ingest.Authenticator, keys *keyServer) {
		wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 0)
		keys.breakWith(down)
		for range 5 {
			time.Sleep(24 * time.Hour)
			wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 0)
			synctest.Wait()
		}
		wantStatus(t, a.Authenticate(bearing(bySecond(t))), 503)
	})
}

func TestUnknownKeysDoNotHammerTheKeyServer(t *testing.T) {
	virtual(t, func(t *testing.T, a ingest.Authenticator, keys *keyServer) {
		for i := range 600 { // ten a second for a minute
			forged := sign(t, jose.RS256, secondKey(), fmt.Sprint("made-up-", i), claimsWith(time.Now(), nil))
			if a.Authenticate(bearing(forged)) == nil {
				t.Fatal("accepted")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := keys.asked.Load(); n > 7 {
			t.Errorf("key server was asked %d times in a minute", n)
		}
		wantStatus(t, a.Authenticate(bearing(token(t, time.Now(), nil))), 0)
	})
}

func TestWaitingForKeysEndsWithTheRequest(t *testing.T) {
	virtual(t, func(t *testing.T, a ingest.Authenticator, keys *keyServer) {
		keys.breakWith(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		s, _ := newSubscriber(t, ingest.Options{Authenticator: a, Timeout: time.Second})
		start := time.Now()
		w := serve(s.Events(), bearing(token(t, time.Now(), nil)))
		wantProblem(t, w, http.StatusServiceUnavailable, "authentication_unavailable")
		if time.Since(start) != time.Second {
			t.Errorf("took %v", time.Since(start))
		}
		time.Sleep(10 * time.Second) // the fetch has ended too
	})
}
