// Package boot builds the real binary and runs it, for tests that look at it
// from outside.
package boot

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
	"syscall"
	"testing"
	"time"

	// The binary is built by hand, so the test cache has to be told what it is
	// made of.
	_ "github.com/modelwarden/modelwarden/internal/app"
	_ "github.com/modelwarden/modelwarden/internal/cli"
)

// Binary is the path of the binary, from Main on.
var Binary string

// Main builds the binary, runs the tests and removes it; for TestMain.
func Main(m *testing.M, buildFlags ...string) {
	dir, err := os.MkdirTemp("", "modelwarden-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	Binary = filepath.Join(dir, "modelwarden")
	args := append([]string{"build", "-o", Binary}, buildFlags...)
	build := exec.Command("go", append(args, "github.com/modelwarden/modelwarden/cmd/modelwarden")...)
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// Process is one program that a test started and that ends with it.
type Process struct {
	// Log is the last part of what it says.
	Log  *Tail
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs a program until the test ends, or until Kill.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, Log: &Tail{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.Log, p.Log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), p.Log)
		}
	})
	return p
}

// Kill ends the program the hard way and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop ends the program the civil way and waits for its end.
func (p *Process) Stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s ended with %d after SIGTERM", filepath.Base(p.cmd.Path), code)
	}
}

// Alive fails the test when the program ended by itself.
func (p *Process) Alive(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		t.Fatalf("%s ended by itself", filepath.Base(p.cmd.Path))
	default:
	}
}

// Tail keeps the last part of what is written to it.
type Tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 1<<20 {
		t.buf.Next(512 << 10)
	}
	return t.buf.Write(b)
}

// String is what was kept.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// Server is one running service.
type Server struct {
	*Process
	URL string
	// Token is the API token, "" where none is asked for.
	Token string
}

// Serve starts `modelwarden serve` on a free port and waits until it is ready.
// A token other than "" is demanded of whoever uses API, pages and metrics.
func Serve(t *testing.T, data, token string, args ...string) *Server {
	t.Helper()
	return ServeWith(t, nil, data, token, args...)
}

// ServeWith is Serve with further variables, each NAME=value, in the
// environment.
func ServeWith(t *testing.T, env []string, data, token string, args ...string) *Server {
	t.Helper()
	address := filepath.Join(t.TempDir(), "address")
	cmd := exec.Command(Binary, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--address-file", address}, args...)...)
	cmd.Env = append(append(os.Environ(), "MODELWARDEN_API_TOKEN="+token), env...)
	s := &Server{Process: Start(t, cmd), Token: token}
	Eventually(t, 30*time.Second, "the service is ready", func() error {
		s.Alive(t)
		b, err := os.ReadFile(address)
		if err != nil {
			return err
		}
		s.URL = strings.TrimSpace(string(b))
		_, err = s.Read("/readyz")
		return err
	})
	return s
}

// Read gets the body of a path that must answer 200.
func (s *Server) Read(path string) ([]byte, error) { return Download(s.URL+path, s.Token) }

// Get reads a JSON answer of the API.
func (s *Server) Get(path string, into any) error {
	body, err := s.Read(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// Download gets the body of an address that must answer 200.
func Download(address, token string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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

// Eventually polls until f has nothing to complain about.
func Eventually(t *testing.T, within time.Duration, what string, f func() error) {
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
