package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answers is a server that gives one answer after the other.
type answers []string

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	if len(*a) == 0 {
		return nil, errors.New("the script has no more answers")
	}
	body := (*a)[0]
	*a = (*a)[1:]
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// watchBackfill runs the command over a server's answers.
func watchBackfill(ctx context.Context, a answers) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	root := New(Options{Stdout: &out, Stderr: &err, HTTPClient: &http.Client{Transport: &a}, Getenv: func(string) string { return "" }})
	code = Execute(ctx, root, []string{"backfill", "ws"})
	return code, out.String(), err.String()
}

func TestBackfillSaysWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		code, stdout, stderr := watchBackfill(t.Context(), answers{
			`{"workspace":"ws","state":"requested","created":true}`,
			`{"workspace":"ws","state":"requested"}`,
			`{"workspace":"ws","state":"running","phase":"models","seen":3}`,
			`{"workspace":"ws","state":"running","phase":"jobs","progress":0.41,"seen":30,"told":4}`,
			`{"workspace":"ws","state":"running","phase":"jobs","progress":0.44,"seen":33,"told":4}`,
			`{"workspace":"ws","state":"running","phase":"jobs","progress":0.44,"seen":33,"told":4,"problem":"throttled"}`,
			`{"workspace":"ws","state":"done","progress":1,"seen":90,"told":7}`,
		})
		want := `  0%  not taken up yet: 0 looked at, 0 not known before
  0%  models: 3 looked at, 0 not known before
 41%  jobs: 30 looked at, 4 not known before
 44%  jobs: 33 looked at, 4 not known before; waiting: throttled
100%  done: 90 looked at, 7 not known before
`
		if code != ExitOK || stderr != want || stdout != "backfill of ws done: 90 looked at, 7 not known before\n" {
			t.Errorf("exit code %d, stdout %q, stderr:\n%s", code, stdout, stderr)
		}
		if took := time.Since(began); took != 6*watchEvery {
			t.Errorf("watched for %s", took)
		}
	})
}

func TestInterruptingTheWatchLeavesTheBackfillAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(watchEvery/2, cancel)
		code, stdout, stderr := watchBackfill(ctx, answers{`{"workspace":"ws","state":"running","phase":"jobs","created":true}`})
		if code != ExitInterrupted || stdout != "" || !strings.HasSuffix(stderr, "goes on without us; to end it: modelwarden backfill ws --cancel\n") {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	})
}

func TestBar(t *testing.T) {
	for want, d := range map[string]backfillDoc{
		"[------------------------]   0%  models: 3 looked at, 0 not known before":       {State: "running", Phase: "models", Seen: 3},
		"[############------------]  50%  jobs: 30 looked at, 4 not known before":        {State: "running", Phase: "jobs", Progress: 0.5, Seen: 30, Told: 4},
		"[########################] 100%  done: 1 looked at, 0 not known before; waiti…": {State: "done", Progress: 1, Seen: 1, Problem: "a very long story"},
		"[------------------------]   0%  \\x1b[31m: 0 looked at, 0 not known before":    {State: "running", Phase: "\x1b[31m"},
	} {
		if got := drawBar(&d); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTheBarIsRedrawnInPlace(t *testing.T) {
	var b bytes.Buffer
	p := &progress{to: &b, bar: true}
	d := backfillDoc{State: "running", Phase: "jobs"}
	p.update(&d)
	p.update(&d)
	p.end()
	if s := b.String(); strings.Count(s, "\r") != 2 || strings.Count(s, "\n") != 1 || !strings.HasSuffix(s, "\n") {
		t.Errorf("%q", s)
	}
}
