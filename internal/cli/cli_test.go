package cli_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/cli"
)

// run executes a command in this process.
func run(ctx context.Context, o cli.Options, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	o.Stdout, o.Stderr = &out, &errs
	if o.Stdin == nil {
		o.Stdin = strings.NewReader("")
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	code = cli.Execute(ctx, cli.New(o), args)
	return code, out.String(), errs.String()
}

// Every command says in one line what it does, shows an example that names
// it, and describes its flags.
func TestEveryCommandIsExplained(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || strings.Contains(c.Short, "\n") {
			t.Errorf("%s: Short %q: want one line without a full stop", c.CommandPath(), c.Short)
		}
		if !c.HasSubCommands() && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: no example names it: %q", c.CommandPath(), c.Example)
		}
		for _, line := range strings.Split(c.Long, "\n") {
			if len(line) > 80 {
				t.Errorf("%s: help line is wider than 80 columns: %q", c.CommandPath(), line)
			}
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(cli.New(cli.Options{}))
}

// Ctrl-C in the middle of a request is quiet and has the exit code that
// shells expect.
func TestInterruptIsQuiet(t *testing.T) {
	for _, cause := range []error{nil, errors.New("interrupt signal received")} {
		ctx, cancel := context.WithCancelCause(t.Context())
		interrupt(t, ctx, func() { cancel(cause) })
	}
}

func interrupt(t *testing.T, ctx context.Context, cancel func()) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	code, stdout, stderr := run(ctx, cli.Options{}, "model", "list", "-o", "json", "--server", server.URL)
	if code != cli.ExitInterrupted || stdout+stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q, want 130 and silence", code, stdout, stderr)
	}
}

// transport answers requests without a network, so that time can be virtual.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answering(f func(w http.ResponseWriter, r *http.Request)) *http.Client {
	return &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		f(w, r)
		return w.Result(), r.Context().Err()
	})}
}

// A busy server is asked again when it says, but never later than 5 s.
func TestRetryAfterIsBounded(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"2": 2 * time.Second, "3600": 5 * time.Second, "": time.Second, "Wed, 04 Mar 2026 12:00:00 GMT": time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			client := answering(func(w http.ResponseWriter, _ *http.Request) {
				if asked++; asked == 1 {
					w.Header().Set("Retry-After", header)
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				_, _ = w.Write([]byte(`{"items":[]}`))
			})
			begin := time.Now()
			code, _, stderr := run(t.Context(), cli.Options{HTTPClient: client}, "model", "list")
			if took := time.Since(begin); code != 0 || took != want {
				t.Errorf("Retry-After %q: waited %s, exit code %d %s, want %s", header, took, code, stderr, want)
			}
		})
	}
}

// A server that never answers costs --timeout, and a completion one second.
func TestSilentServer(t *testing.T) {
	silent := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		code, _, stderr := run(t.Context(), cli.Options{HTTPClient: silent}, "model", "list", "--timeout", "7s")
		if code != 1 || time.Since(begin) != 7*time.Second || !strings.Contains(stderr, "no answer from http://127.0.0.1:8080 within 7s") {
			t.Errorf("exit code %d after %s: %s", code, time.Since(begin), stderr)
		}
		begin = time.Now()
		_, stdout, _ := run(t.Context(), cli.Options{HTTPClient: silent}, "__complete", "lineage", "model/")
		if time.Since(begin) != time.Second || stdout != ":4\n" {
			t.Errorf("completion took %s and said %q", time.Since(begin), stdout)
		}
	})
}

// An answer without end is not read without end.
func TestAnswersAreBounded(t *testing.T) {
	client := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: endless{}, Request: r}, nil
	})}
	code, _, stderr := run(t.Context(), cli.Options{HTTPClient: client}, "model", "list")
	if code != 1 || !strings.Contains(stderr, "is larger than 32 MiB") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}
func (endless) Close() error { return nil }

// The token goes to the server that was named and to nobody else.
func TestTokenDoesNotFollowRedirects(t *testing.T) {
	leaked := ""
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked = r.Header.Get("Authorization") + r.URL.Path
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL+"/elsewhere", http.StatusTemporaryRedirect))
	defer server.Close()
	getenv := func(name string) string {
		return map[string]string{"MODELWARDEN_TOKEN": "secret-token", "MODELWARDEN_SERVER": server.URL}[name]
	}
	code, _, stderr := run(t.Context(), cli.Options{Getenv: getenv}, "model", "list")
	if code != 1 || leaked != "" || strings.Contains(stderr, "secret-token") {
		t.Errorf("exit code %d, leaked %q, stderr %s", code, leaked, stderr)
	}
}

// A part of a list that broke off must not look like the whole.
func TestBrokenListIsNotValidJSON(t *testing.T) {
	asked := 0
	client := answering(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			_, _ = w.Write([]byte(`{"items":[{"id":"a"}],"nextCursor":"c"}`))
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	code, stdout, stderr := run(t.Context(), cli.Options{HTTPClient: client}, "model", "list", "--limit", "0", "-o", "json")
	if code != 1 || !strings.Contains(stdout, `"a"`) || strings.Contains(stdout, "]") || !strings.Contains(stderr, "HTTP 500") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
