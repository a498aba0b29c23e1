package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/web"
)

// TestAnyAssetIsReachableByItsID holds for whatever names Azure allows or
// does not, with the id as it is printed and escaped once more as a whole.
func TestAnyAssetIsReachableByItsID(t *testing.T) {
	w := newWorld(t)
	// A segment of dots alone is resolved away by every HTTP client.
	name := rapid.StringN(1, 20, -1).Filter(func(s string) bool { return s != "." && s != ".." })
	rapid.Check(t, func(t *rapid.T) {
		version := ""
		if rapid.Bool().Draw(t, "versioned") {
			version = name.Draw(t, "version")
		}
		id := lineage.NewID(lineage.Model, name.Draw(t, "workspace"), name.Draw(t, "name"), version)
		w.put(string(id), lineage.Record{ID: lineage.AssetRecord, Body: asJSON(lineage.Asset{ID: id})})
		for _, written := range []string{string(id), url.PathEscape(string(id))} {
			var a web.Asset
			w.get("/api/v1/assets/"+written, 200, &a)
			if a.ID != id {
				t.Fatalf("asked for %s, got %s", id, a.ID)
			}
			if rec := w.ask("GET", "/assets/"+written, "", "Accept", "text/html"); rec.Code != 200 {
				t.Fatalf("page of %s: %d", id, rec.Code)
			}
		}
	})
}

// FuzzRequests asks for anything at all: no request of a client may be a
// fault of the server.
func FuzzRequests(f *testing.F) {
	w := newWorld(f).story()
	for _, target := range append(pagePaths(w), apiPaths(w)...) {
		f.Add("GET", target, "")
	}
	f.Add("POST", "/api/v1/reviews/x-1/ack", `{"by":"ada"}`)
	f.Add("POST", "/actions/a@b/retry", "x=1")
	f.Add("DELETE", "/api/v1/dead/%2e%2e", "")
	f.Add("GET", "/api/v1/events/%40@%00/?cursor=%ff&since=-9999999d", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || u.Scheme != "" {
			return
		}
		r, err := http.NewRequest(method, "http://localhost", nil)
		if err != nil {
			return
		}
		r.URL, r.RequestURI = u, target
		r.Body = http.NoBody
		if body != "" {
			r = httptest.NewRequest("POST", "http://localhost/", strings.NewReader(body))
			r.Method, r.URL, r.RequestURI = method, u, target
			r.Header.Set("Content-Type", "application/json")
		}
		r.Host = "localhost"
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Fatalf("%s %s: %d %s", method, target, rec.Code, rec.Body)
		}
	})
}
