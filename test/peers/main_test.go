//go:build peers

// Package peers runs the real binary beside the real programs that people put
// next to it: Prometheus, Chromium and bash. A peer that is not installed
// fails its tests; test/peers/run installs all of them.
package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// binary is built once per test run.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "modelwarden-peers")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "modelwarden")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/modelwarden")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// process is one program that a test started and ends.
type process struct {
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
}

// start runs a program until the test ends.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, log: &tail{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), p.log)
		}
	})
	return p
}

// alive fails the test when the program ended by itself.
func (p *process) alive(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		t.Fatalf("%s ended by itself", filepath.Base(p.cmd.Path))
	default:
	}
}

// tail keeps the last part of what a program says.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 64<<10 {
		t.buf.Next(32 << 10)
	}
	return t.buf.Write(b)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// server is one running service.
type server struct {
	URL string
	// Token is the API token, "" where none is asked for.
	Token string
}

// boot starts `modelwarden serve` on a free port and waits until it is ready.
// A token other than "" is demanded of whoever uses API, pages and metrics.
func boot(t *testing.T, token string, args ...string) *server {
	t.Helper()
	address := filepath.Join(t.TempDir(), "address")
	cmd := exec.Command(binary, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--address-file", address}, args...)...)
	cmd.Env = append(os.Environ(), "MODELWARDEN_API_TOKEN="+token)
	p := start(t, cmd)
	s := &server{Token: token}
	eventually(t, 30*time.Second, "the service is ready", func() error {
		p.alive(t)
		b, err := os.ReadFile(address)
		if err != nil {
			return err
		}
		s.URL = strings.TrimSpace(string(b))
		_, err = s.read("/readyz")
		return err
	})
	return s
}

// read gets the body of a path that must answer 200.
func (s *server) read(path string) ([]byte, error) { return download(s.URL+path, s.Token) }

// get reads a JSON answer of the API.
func (s *server) get(path string, into any) error {
	body, err := s.read(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// count is the length of an API list that fits on one page.
func (s *server) count(path string) (int, error) {
	var page struct{ Items []json.RawMessage }
	err := s.get(path, &page)
	return len(page.Items), err
}

func download(address, token string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", address, r.Status, body)
	}
	return body, err
}

// eventually polls until f has nothing to complain about.
func eventually(t *testing.T, within time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(50 * time.Millisecond)
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

// peer finds an installed program. Without it there is nothing to test, and
// that is a failure.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: run test/peers/run, which installs it", name)
	}
	return path
}
