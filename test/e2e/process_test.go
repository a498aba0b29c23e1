// Package e2e boots the real binary and looks at it from outside only: events
// go in over HTTP, everything asserted comes back over the HTTP API.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	// The binary is built by hand, so the test cache has to be told what it is
	// made of.
	_ "github.com/modelwarden/modelwarden/internal/app"
	_ "github.com/modelwarden/modelwarden/internal/cli"
)

// binary is built once per test run.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "modelwarden-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "modelwarden")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "../../cmd/modelwarden")...)
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// server is one running process.
type server struct {
	t    *testing.T
	URL  string
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
}

// tail keeps the last part of what a process logs.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 1<<20 {
		t.buf.Next(512 << 10)
	}
	return t.buf.Write(b)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// boot starts `modelwarden serve` on a free port and waits until it is ready.
func boot(t *testing.T, data string, args ...string) *server {
	t.Helper()
	address := filepath.Join(t.TempDir(), "address")
	s := &server{t: t, log: &tail{}, done: make(chan struct{})}
	s.cmd = exec.Command(binary, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--address-file", address}, args...)...)
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.done) }()
	t.Cleanup(s.kill)
	eventually(t, 30*time.Second, "the service is ready", func() error {
		select {
		case <-s.done:
			t.Fatalf("the service ended at start:\n%s", s.log)
		default:
		}
		b, err := os.ReadFile(address)
		if err != nil {
			return err
		}
		s.URL = strings.TrimSpace(string(b))
		return s.ready()
	})
	return s
}

func (s *server) ready() error {
	r, err := http.Get(s.URL + "/readyz")
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", r.Status)
	}
	return nil
}

// kill ends the process the hard way.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// post sends one request body to /events.
func (s *server) post(contentType, body string) error {
	r, err := http.Post(s.URL+"/events", contentType, strings.NewReader(body))
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

// get reads a JSON answer of the API.
func (s *server) get(path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, r.Status, body)
	}
	return json.Unmarshal(body, into)
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
		if err := s.get(path+"?"+q.Encode(), &page); err != nil {
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
	eventually(s.t, within, "the queue is drained", func() error {
		var m map[string]float64
		m, err := s.metrics()
		if err != nil {
			return err
		}
		ready, leased := m[`modelwarden_queue_messages{queue="events",state="ready"}`], m[`modelwarden_queue_messages{queue="events",state="leased"}`]
		if ready+leased > 0 {
			return fmt.Errorf("%v ready, %v leased", ready, leased)
		}
		return nil
	})
}

// metrics reads /metrics: series to value.
func (s *server) metrics() (map[string]float64, error) {
	r, err := http.Get(s.URL + "/metrics")
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
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

// eventually polls until f has nothing to complain about.
func eventually(t *testing.T, within time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", within, what, err)
		}
		<-tick.C
	}
}

// runCommand runs the binary to its end and returns the exit code.
func runCommand(t *testing.T, out io.Writer, args ...string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}
