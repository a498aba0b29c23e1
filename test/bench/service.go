package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

//go:embed policies.yaml
var teamPolicies []byte

// pollEvery is how often the queue is looked at while it drains.
const pollEvery = 50 * time.Millisecond

// service is the product with all roles, policies and a recording webhook.
type service struct {
	*process
	config   string
	recorder *sandbox.Recorder
	hook     *httptest.Server
	// accepted counts the events of all loads.
	accepted int
	// queued counts what is due in the queue or in work. Defaults to asking
	// the process.
	queued func(context.Context) (int, error)
}

// startService serves on dir with policies in which HOOK stands for the
// recorder's address.
func (b *bench) startService(ctx context.Context, dir string, policies []byte) (*service, error) {
	return b.startServiceWith(ctx, nil, dir, policies)
}

// startServiceWith is startService with further variables in the environment.
func (b *bench) startServiceWith(ctx context.Context, env []string, dir string, policies []byte) (*service, error) {
	recorder, err := sandbox.NewRecorder(sandbox.RecorderOptions{})
	if err != nil {
		return nil, err
	}
	s := &service{recorder: recorder, hook: httptest.NewServer(recorder), config: filepath.Join(dir, "policies.yaml")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.config, bytes.ReplaceAll(policies, []byte("HOOK"), []byte(s.hook.URL)), 0o600); err != nil {
		return nil, err
	}
	if s.process, err = b.serveWith(ctx, env, dir, "--config", s.config); err != nil {
		s.hook.Close()
		return nil, err
	}
	s.queued = func(ctx context.Context) (int, error) { return s.waiting(ctx, false) }
	return s, nil
}

// end stops the process and its webhook.
func (s *service) end() error {
	err := s.stop()
	s.hook.Close()
	return err
}

// drive posts events as fast as they are taken and waits until all are worked
// off. It returns the time from the first request until the queue was empty.
func (s *service) drive(ctx context.Context, l *load) (time.Duration, error) {
	clients, err := dialAll(ctx, s.host(), l.connections)
	if err != nil {
		return 0, err
	}
	defer closeAll(clients)
	start := time.Now()
	out, err := l.run(ctx, clients, 0)
	if err != nil {
		return 0, err
	}
	if err := s.drained(ctx); err != nil {
		return 0, err
	}
	elapsed := time.Since(start)
	s.accepted += out.events
	return elapsed, s.settled(ctx)
}

// drained waits until nothing is ready or leased.
func (s *service) drained(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		n, err := s.queued(ctx)
		if err != nil || n == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.done:
			s.done <- err
			return fmt.Errorf("the service ended: %w\n%s", err, s.tail())
		case <-tick.C:
		}
	}
}

// settled checks by the counters that every accepted event went through the
// pipeline, and none of them to where faults go.
func (s *service) settled(ctx context.Context) error {
	m, err := s.metrics(ctx)
	if err != nil {
		return err
	}
	processed := sum(m, "modelwarden_events_processed_total")
	if int(processed) < s.accepted {
		err = fmt.Errorf("%d events were accepted, %.0f were worked on", s.accepted, processed)
	}
	for _, bad := range []string{"modelwarden_quarantined_total", "modelwarden_dead_letter_messages", "modelwarden_event_retries_total"} {
		if n := sum(m, bad); n > 0 {
			err = errors.Join(err, fmt.Errorf("%s is %.0f", bad, n))
		}
	}
	return err
}

// sum adds up the series of a metric.
func sum(m map[string]float64, name string) (total float64) {
	for series, v := range m {
		if series == name || len(series) > len(name) && series[:len(name)] == name && series[len(name)] == '{' {
			total += v
		}
	}
	return total
}
