package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	defaultServer = "http://127.0.0.1:8080"
	apiPrefix     = "/api/v1/"
	// maxAnswer bounds one answer of the server, in bytes.
	maxAnswer = 32 << 20
	// pageSize is what lists ask for at a time.
	pageSize = 200
	// A request that may be repeated is sent at most maxAttempts times, with
	// waits of what the server asks for, at most maxWait each.
	maxAttempts = 4
	maxWait     = 5 * time.Second
)

// client talks JSON over HTTP to one server. It knows no routes.
type client struct {
	base    *url.URL
	token   string
	http    *http.Client
	timeout time.Duration
}

// newHTTPClient follows redirects within one host only: the token is for
// that host.
func newHTTPClient() *http.Client {
	return &http.Client{CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// request is one call. A body that is not nil is sent as contentType.
type request struct {
	method string
	// path is escaped and begins with a slash.
	path        string
	query       url.Values
	body        []byte
	contentType string
	header      http.Header
	// repeatable requests are sent again when the server answers that it can't
	// serve now: reads, and what the server recognises when it comes twice.
	repeatable bool
	// accepts tells whether a status other than 2xx is an answer too.
	accepts func(status int) bool
}

// answer is what the server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get reads one JSON document of the API into out.
func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	a, err := c.do(ctx, request{method: http.MethodGet, path: apiPrefix + path, query: query, repeatable: true})
	if err != nil {
		return err
	}
	return c.decode(a, out)
}

// post sends a JSON document to the API and reads the answer into out. A nil
// in is an empty object.
func (c *client) post(ctx context.Context, path string, in, out any) error {
	if in == nil {
		in = struct{}{}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	a, err := c.do(ctx, request{method: http.MethodPost, path: apiPrefix + path, body: body, contentType: "application/json"})
	if err != nil || len(bytes.TrimSpace(a.body)) == 0 {
		return err
	}
	return c.decode(a, out)
}

// delete removes a thing of the API.
func (c *client) delete(ctx context.Context, path string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: apiPrefix + path})
	return err
}

// items yields the items of a list, page by page, at most limit of them; 0 is
// all. Reading stops at the first error.
func (c *client) items(ctx context.Context, path string, query url.Values, limit int) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		q := url.Values{}
		for k, v := range query {
			q[k] = v
		}
		for left := limit; ; {
			want := pageSize
			if limit > 0 {
				want = min(left, pageSize)
			}
			q.Set("limit", strconv.Itoa(want))
			var page struct {
				Items      []json.RawMessage `json:"items"`
				NextCursor string            `json:"nextCursor"`
			}
			if err := c.get(ctx, path, q, &page); err != nil {
				yield(nil, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			if page.NextCursor == q.Get("cursor") {
				yield(nil, fmt.Errorf("the list %s does not advance: the server gave the same cursor twice", path))
				return
			}
			q.Set("cursor", page.NextCursor)
		}
	}
}

func (c *client) decode(a *answer, out any) error {
	if err := json.Unmarshal(a.body, out); err != nil {
		if kind := a.header.Get("Content-Type"); !strings.Contains(kind, "json") {
			return fmt.Errorf("%s answered with %q instead of JSON: is it a Modelwarden server?", c.base, clip(kind, 60))
		}
		return fmt.Errorf("the answer of %s can't be read: %w", c.base, err)
	}
	return nil
}

// do sends a request, repeatedly where that is allowed, and returns the
// answer or an error that says what to do.
func (c *client) do(ctx context.Context, r request) (*answer, error) {
	for attempt := 1; ; attempt++ {
		a, err := c.once(ctx, &r)
		if err != nil {
			return nil, err
		}
		if a.status < 300 && a.status >= 200 || r.accepts != nil && r.accepts(a.status) {
			return a, nil
		}
		busy := a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests
		if !busy || !r.repeatable || attempt == maxAttempts {
			return nil, c.explain(a)
		}
		if err := wait(ctx, retryAfter(a.header)); err != nil {
			return nil, err
		}
	}
}

// retryAfter reads the header's seconds; a date is not worth a clock here.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return time.Second
	}
	return min(time.Duration(seconds)*time.Second, maxWait)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// once sends the request one time.
func (c *client) once(parent context.Context, r *request) (*answer, error) {
	ctx, cancel := context.WithTimeout(parent, c.timeout)
	defer cancel()
	target := c.base.String() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	c.setHeader(req, r)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(parent, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, c.unreachable(parent, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s is larger than %d MiB: ask for less with --limit", c.base, maxAnswer>>20)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

func (c *client) setHeader(req *http.Request, r *request) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "modelwarden-cli")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
}
