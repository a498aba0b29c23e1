package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/web"
)

// listener hears callbacks of the target pd.
type listener struct {
	heard []string
	err   error
	wait  chan struct{}
}

// Hear takes what is signed "good".
func (l *listener) Hear(ctx context.Context, target string, h http.Header, body []byte) error {
	if l.wait != nil {
		<-l.wait
	}
	switch {
	case target != "pd":
		return web.ErrNoCaller
	case l.err != nil:
		return l.err
	case h.Get("X-Signature") != "good":
		return web.ErrForged
	}
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("no deadline")
	}
	l.heard = append(l.heard, string(body))
	return nil
}

// call sends a callback as a tool does: from anywhere, with no token.
func call(w *world, target, body string, headers ...string) *httptest.ResponseRecorder {
	return w.ask("POST", "/callbacks/"+target, body, append([]string{"Host", "modelwarden.contoso.example", "Authorization", ""}, headers...)...)
}

func TestCallbacksAreAnsweredAsToolsExpect(t *testing.T) {
	secret := errors.New("store at db.contoso.example: password hunter2")
	for name, c := range map[string]struct {
		target  string
		err     error
		headers []string
		status  int
		result  string
	}{
		"heard":             {"pd", nil, []string{"X-Signature", "good"}, 204, `{result="heard",target="pd"}`},
		"from a browser":    {"pd", nil, []string{"X-Signature", "good", "Origin", "https://pd.contoso.example", "Sec-Fetch-Site", "cross-site"}, 204, `{result="heard",target="pd"}`},
		"with another auth": {"pd", nil, []string{"X-Signature", "good", "Authorization", "Bearer of-the-tool"}, 204, `{result="heard",target="pd"}`},
		"forged":            {"pd", nil, nil, 401, `{result="forged",target="pd"}`},
		"no secret":         {"pd", web.ErrNoCallback, nil, 403, `{result="refused",target="pd"}`},
		"unknown target":    {"nobody", nil, nil, 404, `{result="unknown",target="unknown"}`},
		"unreadable":        {"pd", fmt.Errorf("%w: %w", web.ErrUnreadable, secret), nil, 400, `{result="unreadable",target="pd"}`},
		"store down":        {"pd", secret, nil, 503, `{result="failed",target="pd"}`},
	} {
		t.Run(name, func(t *testing.T) {
			l := &listener{err: c.err}
			w := newWorld(t, withTokens, func(o *web.Options) { o.Callbacks = l })
			rec := call(w, c.target, `{"event":1}`, c.headers...)
			if rec.Code != c.status || strings.Contains(rec.Body.String(), "hunter2") {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if (rec.Header().Get("Retry-After") != "") != (c.status == 503) || rec.Header().Get("WWW-Authenticate") != "" {
				t.Errorf("headers %v", rec.Header())
			}
			if c.status == 204 && (len(l.heard) != 1 || l.heard[0] != `{"event":1}`) {
				t.Errorf("heard %q", l.heard)
			}
			metrics := w.ask("GET", "/metrics", "", "Authorization", "Bearer "+newToken).Body.String()
			if !strings.Contains(metrics, "modelwarden_callbacks_total"+c.result+" 1") {
				t.Errorf("not counted as %s", c.result)
			}
		})
	}
}

func TestCallbacksAreBounded(t *testing.T) {
	l := &listener{}
	w := newWorld(t, func(o *web.Options) { o.Callbacks = l })
	if rec := call(w, "pd", strings.Repeat("x", 1<<20), "X-Signature", "good"); rec.Code != 204 || len(l.heard[0]) != 1<<20 {
		t.Errorf("1 MiB: %d", rec.Code)
	}
	if rec := call(w, "pd", strings.Repeat("x", 1<<20+1), "X-Signature", "good"); rec.Code != 413 {
		t.Errorf("more: %d %s", rec.Code, rec.Body)
	}
	refused := 0
	for range 400 {
		if rec := call(w, "pd", "{}", "X-Signature", "good"); rec.Code == 503 && rec.Header().Get("Retry-After") != "" {
			refused++
		}
	}
	// The clock stands still, so nothing is let in beyond the burst.
	if refused != 400-198 {
		t.Errorf("%d of 400 refused", refused)
	}
}

func TestOnlySoManyCallbacksAtOnce(t *testing.T) {
	l := &listener{wait: make(chan struct{}), err: web.ErrForged}
	w := newWorld(t, func(o *web.Options) { o.Callbacks = l })
	answers := make(chan int, 40)
	for range 40 {
		go func() { answers <- call(w, "pd", "{}").Code }()
	}
	for range 8 {
		if code := <-answers; code != 503 {
			t.Errorf("beyond the bound: %d", code)
		}
	}
	close(l.wait)
	for range 32 {
		if code := <-answers; code != 401 {
			t.Errorf("within the bound: %d", code)
		}
	}
}

func TestCallbackOpensNoOtherDoor(t *testing.T) {
	w := newWorld(t, withTokens, func(o *web.Options) { o.Callbacks = &listener{} })
	for _, c := range [][2]string{
		{"GET", "/callbacks/pd"}, {"PUT", "/callbacks/pd"}, {"POST", "/callbacks"}, {"POST", "/callbacks%2Fpd"},
		{"POST", "/api/v1/reviews/x/ack"}, {"POST", "//callbacks/pd"},
	} {
		if rec := w.ask(c[0], c[1], "{}", "Host", "models.contoso.example"); rec.Code != 401 {
			t.Errorf("%s %s: %d", c[0], c[1], rec.Code)
		}
	}
	for _, path := range []string{"/callbacks/", "/callbacks/../api/v1/models", "/callbacks/a/b", "/callbacks/%2e%2e%2fapi%2fv1%2fsilences"} {
		rec := w.ask("POST", path, `{"match":{},"for":"1h","by":"a","why":"b"}`, "Host", "models.contoso.example", "X-Signature", "good")
		if rec.Code != 401 {
			t.Errorf("POST %s: %d %s", path, rec.Code, rec.Body)
		}
	}
}
