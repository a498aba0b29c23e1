package web_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/web"
)

const (
	oldToken = "old-token-5a1c"
	newToken = "new-token-77de"
)

func withTokens(o *web.Options) {
	o.Loopback, o.Tokens = false, []string{oldToken, newToken}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestTokensOpenEveryDoor(t *testing.T) {
	w := newWorld(t, withTokens)
	for name, c := range map[string]struct {
		authorization string
		status        int
	}{
		"bearer, old token":           {"Bearer " + oldToken, 200},
		"bearer, new token":           {"Bearer " + newToken, 200},
		"bearer in another case":      {"bearer " + newToken, 200},
		"basic, any user":             {basic("ada", newToken), 200},
		"basic, no user":              {basic("", oldToken), 200},
		"no credentials":              {"", 401},
		"wrong token":                 {"Bearer nonsense", 401},
		"beginning of a token":        {"Bearer " + oldToken[:8], 401},
		"both tokens joined":          {"Bearer " + oldToken + newToken, 401},
		"empty bearer":                {"Bearer ", 401},
		"token as user":               {basic(newToken, ""), 401},
		"another scheme":              {"Digest " + newToken, 401},
		"token without a scheme":      {newToken, 401},
		"basic that can't be decoded": {"Basic !!!", 401},
	} {
		t.Run(name, func(t *testing.T) {
			rec := w.ask("GET", "/api/v1/models", "", "Authorization", c.authorization, "Host", "models.contoso.example")
			if rec.Code != c.status {
				t.Fatalf("status %d, want %d: %s", rec.Code, c.status, rec.Body)
			}
			if c.status == 401 && !strings.Contains(strings.Join(rec.Header()["Www-Authenticate"], " "), "Basic realm") {
				t.Error("a browser would not ask for the token")
			}
		})
	}
}

func TestWithoutTokenOnlyProbesAnswer(t *testing.T) {
	w := newWorld(t, withTokens).story()
	for _, path := range []string{
		"/", "/events", "/decisions", "/actions", "/reviews", "/trouble", "/static/app.css", "/assets/" + version1,
		"/metrics", "/openapi.json", "/api/v1/status", "/api/v1/assets/" + version1, "/nothing/here",
	} {
		if rec := w.ask("GET", path, ""); rec.Code != http.StatusUnauthorized {
			t.Errorf("GET %s: status %d, want 401", path, rec.Code)
		}
	}
	if rec := w.ask("GET", "/healthz", ""); rec.Code != 200 || rec.Body.String() != "ok\n" {
		t.Errorf("/healthz: %d %q", rec.Code, rec.Body)
	}
}

func TestReadinessTellsDetailsOnlyToHoldersOfAToken(t *testing.T) {
	broken := func(o *web.Options) { o.Store.(*memory).fail = errSecret }
	w := newWorld(t, withTokens, broken)
	var bare, full web.Readiness
	w.get("/readyz", http.StatusServiceUnavailable, &bare)
	if bare.Status != "not ready" || bare.Components != nil {
		t.Errorf("without a token: %+v", bare)
	}
	w.decode(w.ask("GET", "/readyz", "", "Authorization", "Bearer "+newToken), http.StatusServiceUnavailable, &full)
	if len(full.Components) != 1 || full.Components[0].OK || full.Components[0].Detail == "" {
		t.Errorf("with a token: %+v", full)
	}
}

func TestOpenLoopbackAnswersOnlyToLoopbackNames(t *testing.T) {
	w := newWorld(t)
	for host, status := range map[string]int{
		"127.0.0.1:8080": 200, "127.8.9.1": 200, "localhost:8080": 200, "LOCALHOST": 200, "localhost.": 200,
		"[::1]:8080": 200, "[::1]": 200, "demo.localhost:8080": 200,
		"evil.example": 403, "evil.example:8080": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403,
		"10.0.0.7:8080": 403, "0.0.0.0": 403, "notlocalhost": 403, "169.254.169.254": 403,
	} {
		if rec := w.ask("GET", "/api/v1/models", "", "Host", host); rec.Code != status {
			t.Errorf("host %q: status %d, want %d", host, rec.Code, status)
		}
	}
}

func TestForeignPagesCanNotChangeAnything(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		stopped bool
	}{
		"a command-line client":        {nil, false},
		"own page":                     {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:8080"}, false},
		"another site":                 {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, true},
		"another port of this machine": {[]string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:9999"}, true},
		"an old browser elsewhere":     {[]string{"Origin", "https://evil.example"}, true},
		"a sandboxed frame":            {[]string{"Origin", "null"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).story()
			rec := w.ask("POST", "/api/v1/dead/7/replay", "", c.headers...)
			if stopped := rec.Code == http.StatusForbidden; stopped != c.stopped {
				t.Fatalf("status %d: %s", rec.Code, rec.Body)
			}
			if c.stopped != (len(w.box.replayed) == 0) {
				t.Errorf("replayed: %v", w.box.replayed)
			}
		})
	}
}

func TestEveryAnswerBindsTheBrowser(t *testing.T) {
	w := newWorld(t).story()
	for _, path := range []string{"/", "/api/v1/models", "/nothing", "/static/app.js", "/healthz"} {
		h := w.ask("GET", path, "", "Accept", "text/html").Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Content-Security-Policy": "frame-ancestors 'none'",
		} {
			if !strings.Contains(h.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if csp := h.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.HasPrefix(csp, "default-src 'self'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other origins may read it", path)
		}
	}
}

func TestOptionsThatWouldBeOpenAreRefused(t *testing.T) {
	good := newWorld(t).options
	for name, change := range map[string]func(*web.Options){
		"no token outside loopback": func(o *web.Options) { o.Loopback = false },
		"an empty token":            func(o *web.Options) { o.Tokens = []string{"x", ""} },
		"a blank token":             func(o *web.Options) { o.Tokens = []string{" \n"} },
		"no store":                  func(o *web.Options) { o.Store = nil },
		"no desk":                   func(o *web.Options) { o.Desk = nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			o.Registerer = nil
			change(&o)
			if _, err := web.New(o); err == nil {
				t.Error("New accepted it")
			}
		})
	}
}

func TestTokensAreNeverShown(t *testing.T) {
	w := newWorld(t, withTokens).story()
	for _, path := range append(apiPaths(w), "/", "/metrics", "/openapi.json", "/readyz", "/assets/"+version1) {
		rec := w.ask("GET", path, "", "Authorization", "Bearer "+newToken)
		all, _ := json.Marshal(rec.Header())
		if text := rec.Body.String() + string(all); strings.Contains(text, newToken) || strings.Contains(text, oldToken) {
			t.Errorf("%s shows a token", path)
		}
	}
}
