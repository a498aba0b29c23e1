package cosmos_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// raw is a signed request as SDKs of other languages make it; link and kind
// are what is signed.
func raw(t *testing.T, s *cosmos.Server, method, path, kind, link, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://account.test/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	date := time.Now().UTC().Format(http.TimeFormat)
	key, err := base64.StdEncoding.DecodeString(s.Key())
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(strings.ToLower(method + "\n" + kind + "\n")))
	h.Write([]byte(link + "\n" + strings.ToLower(date) + "\n\n"))
	r.Header.Set("x-ms-date", date)
	r.Header.Set("Authorization", url.QueryEscape("type=master&ver=1.0&sig="+base64.StdEncoding.EncodeToString(h.Sum(nil))))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.Transport().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

const items = "dbs/db/colls/items"

func TestConditionalReads(t *testing.T) {
	s, _ := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	key := []string{"x-ms-documentdb-partitionkey", `["p"]`}
	created, body := raw(t, s, "POST", items+"/docs", "docs", items, `{"id":"a b","pk":"p"}`, key...)
	etag := created.Header.Get("etag")
	if created.StatusCode != 201 || etag == "" || !strings.Contains(body, `"id":"a b"`) || created.Header.Get("x-ms-session-token") == "" {
		t.Fatalf("%d %s", created.StatusCode, body)
	}
	for _, c := range []struct {
		method, header, value string
		want                  int
	}{
		{"GET", "If-None-Match", etag, 304}, {"GET", "If-None-Match", `"other"`, 200},
		{"PUT", "If-None-Match", "*", 412}, {"PUT", "If-Match", "*", 200}, {"PUT", "If-Match", etag, 412},
	} {
		resp, body := raw(t, s, c.method, items+"/docs/a%20b", "docs", items+"/docs/a b", `{"id":"a b","pk":"p"}`, append(key, c.header, c.value)...)
		if resp.StatusCode != c.want || c.want == 304 && body != "" {
			t.Errorf("%s with %s: %s is answered %d %s, want %d", c.method, c.header, c.value, resp.StatusCode, body, c.want)
		}
	}
}

// TestFeeds lists what SDKs of other languages ask for.
func TestFeeds(t *testing.T) {
	s, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	for _, partition := range []string{"p", "q"} {
		if _, err := ct.CreateItem(t.Context(), pk(partition), []byte(`{"id":"a","pk":"`+partition+`"}`), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, kind, link, list, contains string }{
		{"dbs", "dbs", "", "Databases", `"id":"db"`},
		{"dbs/db/colls", "colls", "dbs/db", "DocumentCollections", `"paths":["/pk"]`},
		{items + "/pkranges", "pkranges", items, "PartitionKeyRanges", `"minInclusive":""`},
		{items + "/docs", "docs", items, "Documents", `"pk":"q"`},
	} {
		resp, body := raw(t, s, "GET", c.path, c.kind, c.link, "")
		var feed map[string]any
		if err := json.Unmarshal([]byte(body), &feed); err != nil || resp.StatusCode != 200 || feed[c.list] == nil || feed["_count"] == 0 || !strings.Contains(body, c.contains) {
			t.Errorf("%s: %d %s, %v", c.path, resp.StatusCode, body, err)
		}
	}
}

// TestSignatureOfEscapedLink: signatures are over the link as it is, escaped or not.
func TestSignatureOfEscapedLink(t *testing.T) {
	s, _ := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	for _, link := range []string{items + "/docs/é b", items + "/docs/%C3%A9%20b"} {
		if resp, body := raw(t, s, "GET", items+"/docs/%C3%A9%20b", "docs", link, "", "x-ms-documentdb-partitionkey", `["p"]`); resp.StatusCode != 404 {
			t.Errorf("%s: %d %s", link, resp.StatusCode, body)
		}
	}
	if resp, _ := raw(t, s, "GET", items+"/docs/a", "docs", items+"/docs/b", ""); resp.StatusCode != 401 {
		t.Errorf("the signature of another link is answered %d", resp.StatusCode)
	}
}

func TestQueryPlans(t *testing.T) {
	s, _ := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	ask := func(query string) (*http.Response, string) {
		return raw(t, s, "POST", items+"/docs", "docs", items, `{"query":"`+query+`"}`, "x-ms-cosmos-is-query-plan-request", "True")
	}
	resp, body := ask("SELECT VALUE c.id FROM c WHERE c.n > 1")
	if resp.StatusCode != 200 || !strings.Contains(body, `"hasSelectValue":true`) || !strings.Contains(body, `"max":"FF"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body := ask("SELECT * FROM c ORDER BY c.n"); resp.StatusCode != 400 || !strings.Contains(body, "does not simulate") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	s, _ := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	for _, c := range []struct {
		method, path, kind, link string
		status                   int
		substatus                string
	}{
		{"GET", "dbs/none", "dbs", "dbs/none", 404, "1003"},
		{"GET", "dbs/db/colls/none/docs/a", "docs", "dbs/db/colls/none/docs/a", 404, "1003"},
		{"GET", items + "/sprocs", "sprocs", items, 404, ""},
		{"PATCH", items + "/docs/a", "docs", items + "/docs/a", 405, ""},
		{"GET", "dbs/db/colls/items/docs/a/attachments/b", "docs", "", 404, ""},
	} {
		resp, body := raw(t, s, c.method, c.path, c.kind, c.link, "", "x-ms-documentdb-partitionkey", `["p"]`)
		if resp.StatusCode != c.status || resp.Header.Get("x-ms-substatus") != c.substatus {
			t.Errorf("%s %s: %d/%s %s", c.method, c.path, resp.StatusCode, resp.Header.Get("x-ms-substatus"), body)
		}
	}
}
