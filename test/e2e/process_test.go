// Package e2e boots the real binary and looks at it from outside only: events
// go in over HTTP, everything asserted comes back over the HTTP API.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/boot"
)

func TestMain(m *testing.M) { boot.Main(m) }

// server is one running service; where roles are apart, the one with the API.
type server struct {
	*boot.Server
	t *testing.T
	// subscriber is the address that events go to.
	subscriber string
	// idle says what the queue still holds. Defaults to asking the metrics.
	idle func() error
	// work is the service that works on events, where it is another one.
	work *server
	// engine checks what the engines say of themselves.
	engine func(t *testing.T)
}

func (s *server) worker() *server {
	if s.work != nil {
		return s.work
	}
	return s
}

func (s *server) checkEngine(t *testing.T) {
	if s.engine != nil {
		s.engine(t)
		return
	}
	s.series(t, map[string]float64{`modelwarden_store_request_units_total{operation="commit"}`: 0, `modelwarden_dead_letter_messages`: 0})
}

// series checks the values of metrics.
func (s *server) series(t *testing.T, want map[string]float64) {
	t.Helper()
	m, err := s.metrics()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range want {
		if got, ok := m[name]; !ok || got != v {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, v)
		}
	}
}

func serve(t *testing.T, data string, args ...string) *server {
	t.Helper()
	s := &server{Server: boot.Serve(t, data, "", args...), t: t}
	s.subscriber, s.idle = s.URL, s.queueEmpty
	return s
}

// post sends one request body to /events.
func (s *server) post(contentType, body string) error { return post(s.subscriber, contentType, body) }

func post(subscriber, contentType, body string) error {
	r, err := http.Post(subscriber+"/events", contentType, strings.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	answer, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", r.Status, answer)
	}
	return nil
}

// list reads all pages of a list.
func list[T any](s *server, path string, query url.Values) ([]T, error) {
	var out []T
	q := url.Values{"limit": {"500"}}
	for k, v := range query {
		q[k] = v
	}
	for {
		var page struct {
			Items      []T
			NextCursor string
		}
		if err := s.Get(path+"?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if page.NextCursor == "" {
			return out, nil
		}
		q.Set("cursor", page.NextCursor)
	}
}

// drained waits until the queue holds nothing that is due.
func (s *server) drained(within time.Duration) {
	s.t.Helper()
	boot.Eventually(s.t, within, "the queue is drained", s.idle)
}

func (s *server) queueEmpty() error {
	m, err := s.metrics()
	if err != nil {
		return err
	}
	ready, leased := m[`modelwarden_queue_messages{queue="events",state="ready"}`], m[`modelwarden_queue_messages{queue="events",state="leased"}`]
	if ready+leased > 0 {
		return fmt.Errorf("%v ready, %v leased", ready, leased)
	}
	return nil
}

// metrics reads /metrics: series to value.
func (s *server) metrics() (map[string]float64, error) {
	text, err := s.Read("/metrics")
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(line[i+1:], &v); err == nil {
			out[line[:i]] = v
		}
	}
	return out, nil
}

// runCommand runs the binary to its end and returns the exit code.
func runCommand(t *testing.T, out io.Writer, args ...string) int {
	t.Helper()
	return runCommandWith(t, out, nil, args...)
}

// runCommandWith is runCommand with further variables in the environment.
func runCommandWith(t *testing.T, out io.Writer, env []string, args ...string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, boot.Binary, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, append(os.Environ(), env...)
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}
