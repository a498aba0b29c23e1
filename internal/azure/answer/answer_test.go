package answer_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/answer"
	"github.com/modelwarden/modelwarden/internal/policy"
)

var errSaid = errors.New("said")

func TestSort(t *testing.T) {
	for status, permanent := range map[int]bool{400: true, 401: true, 403: true, 404: true, 409: true, 408: false, 429: false, 500: false, 503: false} {
		var p *policy.PermanentError
		err := answer.Sort(errSaid, status, nil)
		if errors.As(err, &p) != permanent || !errors.Is(err, errSaid) {
			t.Errorf("%d: %#v", status, err)
		}
	}
	var later *policy.RetryAfterError
	if err := answer.Sort(errSaid, 429, http.Header{"Retry-After": {"7"}}); !errors.As(err, &later) || later.After != 7*time.Second {
		t.Errorf("%#v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for text, want := range map[string]time.Duration{
			"0": 0, "30": 30 * time.Second, "86400": 10 * time.Minute, "-1": -1, "": -1, "soon": -1,
			time.Now().Add(time.Minute).UTC().Format(http.TimeFormat):  time.Minute,
			time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat): 0,
		} {
			got, ok := answer.RetryAfter(http.Header{"Retry-After": {text}})
			if ok != (want >= 0) || ok && got != want {
				t.Errorf("%q: %v, %v", text, got, ok)
			}
		}
		got, ok := answer.RetryAfter(http.Header{"X-Ms-Retry-After-Ms": {"250"}, "Retry-After": {"1"}})
		if !ok || got != 250*time.Millisecond {
			t.Errorf("milliseconds: %v, %v", got, ok)
		}
	})
}
