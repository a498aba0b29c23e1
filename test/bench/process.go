package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one server under measurement, always a process of its own.
type process struct {
	cmd  *exec.Cmd
	dir  string
	url  string
	log  *os.File
	done chan error
	// ready is how long it took from the start of the process to the first
	// 200 of /readyz.
	ready time.Duration
}

// startTimeout is when a server that is not ready has failed.
const startTimeout = 20 * time.Second

// spawn starts a program that writes its address to a file, and waits until it
// is ready. Its files are in dir, its log in dir/log.
func spawn(ctx context.Context, dir, program string, args ...string) (*process, error) {
	return spawnWith(ctx, nil, dir, program, args...)
}

// spawnWith is spawn with further variables, each NAME=value, in the
// environment.
func spawnWith(ctx context.Context, env []string, dir, program string, args ...string) (*process, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	address := filepath.Join(dir, "address")
	if err := os.RemoveAll(address); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, log: log, done: make(chan error, 1)}
	p.cmd = exec.CommandContext(ctx, program, append(args, "--address-file", address)...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = log, log, append(os.Environ(), env...)
	start := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() { p.done <- p.cmd.Wait() }()
	if err := p.wait(ctx, address, start); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", strings.Join(p.cmd.Args, " "), err), p.kill())
	}
	return p, nil
}

// wait polls every millisecond: first for the address, then for /readyz.
func (p *process) wait(ctx context.Context, address string, start time.Time) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for time.Since(start) < startTimeout {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-p.done:
			p.done <- err
			return fmt.Errorf("ended at start: %w\n%s", err, p.tail())
		case <-tick.C:
		}
		if b, err := os.ReadFile(address); err == nil && p.url == "" {
			p.url = strings.TrimSpace(string(b))
		}
		if p.url != "" && p.get(ctx, "/readyz", io.Discard) == nil {
			p.ready = time.Since(start)
			return nil
		}
	}
	return fmt.Errorf("not ready after %s\n%s", startTimeout, p.tail())
}

// plainClient asks for no compression: it would cost the server more than the
// loopback saves.
var plainClient = &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: requestTimeout}

// get copies the answer of a GET to w.
func (p *process) get(ctx context.Context, path string, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	r, err := plainClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	if _, err := io.Copy(w, r.Body); err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, r.Status)
	}
	return nil
}

func (p *process) host() string { return strings.TrimPrefix(p.url, "http://") }

// kill ends the process at once, as a crash would: what it answered must be
// on disk by then.
func (p *process) kill() error {
	_ = p.cmd.Process.Kill()
	<-p.done
	return p.log.Close()
}

// stop ends the process the civil way.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(err, p.kill())
	}
	err := <-p.done
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", p.cmd.Args[0], err, p.tail())
	}
	return errors.Join(err, p.log.Close())
}

// processor is the processor time that the ended process took.
func (p *process) processor() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// tail is the end of the log.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// metrics reads /metrics: series to value.
func (p *process) metrics(ctx context.Context) (map[string]float64, error) {
	var text strings.Builder
	if err := p.get(ctx, "/metrics", &text); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(text.String()) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if ok {
			series += "}"
		} else if series, value, ok = strings.Cut(strings.TrimSpace(line), " "); !ok {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			out[series] = v
		}
	}
	return out, nil
}

// waiting is the number of messages in the queue: ready, leased and, where
// delayed says so, for later.
func (p *process) waiting(ctx context.Context, delayed bool) (int, error) {
	m, err := p.metrics(ctx)
	if err != nil {
		return 0, err
	}
	n := 0.0
	for _, state := range []string{"ready", "leased", "delayed"} {
		v, ok := m[`modelwarden_queue_messages{queue="events",state="`+state+`"}`]
		if !ok {
			return 0, fmt.Errorf("/metrics does not tell the %s messages of the queue", state)
		}
		if delayed || state != "delayed" {
			n += v
		}
	}
	return int(n), nil
}

// memory is VmRSS and VmHWM of the process in bytes, as Linux tells them.
func (p *process) memory() (resident, peak int64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("memory is read from /proc, which this system does not have: %w", err)
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		var n int64
		if _, err := fmt.Sscanf(s.Text(), "VmRSS: %d kB", &n); err == nil {
			resident = n << 10
		}
		if _, err := fmt.Sscanf(s.Text(), "VmHWM: %d kB", &n); err == nil {
			peak = n << 10
		}
	}
	return resident, peak, nil
}
