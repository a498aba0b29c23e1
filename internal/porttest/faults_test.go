package porttest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/porttest"
)

// counter is a port whose calls count.
type counter struct{ calls int }

func (c *counter) do(context.Context, string) (int, error) {
	c.calls++
	return c.calls, nil
}

func TestFaultsFollowTheScript(t *testing.T) {
	c := &counter{}
	faults := &porttest.Faults{Script: []porttest.Fault{porttest.None, porttest.Before, porttest.After, porttest.None}}
	do := porttest.Faulty(faults, "Port.Do", c.do)
	for i, want := range []struct {
		fails bool
		calls int
	}{{false, 1}, {true, 1}, {true, 2}, {false, 3}, {false, 4}} {
		out, err := do(t.Context(), "x")
		if errors.Is(err, porttest.ErrInjected) != want.fails || c.calls != want.calls {
			t.Errorf("call %d: error %v after %d real calls, want %+v", i, err, c.calls, want)
		}
		if err != nil && out != 0 {
			t.Errorf("call %d: failed and answered %d", i, out)
		}
	}
}

func TestFaultsRepeatFromTheirSeed(t *testing.T) {
	run := func(seed uint64) (fates []bool) {
		do := porttest.Faulty(&porttest.Faults{Seed: seed, Before: 0.3, After: 0.3}, "Port.Do", (&counter{}).do)
		for range 200 {
			_, err := do(t.Context(), "x")
			fates = append(fates, err != nil)
		}
		return fates
	}
	if !slices.Equal(run(1), run(1)) {
		t.Error("the same seed gave different fates")
	}
	if slices.Equal(run(1), run(2)) {
		t.Error("different seeds gave the same fates")
	}
	failed := 0
	for _, f := range run(3) {
		if f {
			failed++
		}
	}
	if failed < 80 || failed > 160 {
		t.Errorf("%d of 200 calls failed at a probability of 0.6", failed)
	}
}

func TestFaultsStopAndOnly(t *testing.T) {
	faults := &porttest.Faults{Before: 1, Only: func(call string) bool { return call == "Port.Do" }}
	do := porttest.Faulty(faults, "Port.Do", (&counter{}).do)
	other := porttest.Faulty(faults, "Port.Other", (&counter{}).do)
	if _, err := other(t.Context(), "x"); err != nil {
		t.Errorf("a call that may not fail failed: %v", err)
	}
	if _, err := do(t.Context(), "x"); err == nil {
		t.Error("a call that must fail did not")
	}
	faults.Stop()
	if _, err := do(t.Context(), "x"); err != nil {
		t.Errorf("failed after Stop: %v", err)
	}
}

func TestFaultsDelayHonoursTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		do := porttest.Faulty(&porttest.Faults{Delay: time.Hour}, "Port.Do", (&counter{}).do)
		if _, err := do(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// memory is a store that only counts commits.
type memory struct {
	lineage.Store
	commits int
}

func (m *memory) Commit(context.Context, string, []lineage.Change) ([]string, error) {
	m.commits++
	return []string{"1"}, nil
}

func TestFaultyStoreInventsConflicts(t *testing.T) {
	m := &memory{}
	s := &porttest.FaultyStore{Store: m, Faults: &porttest.Faults{Script: []porttest.Fault{porttest.Conflict, porttest.After}}}
	changes := []lineage.Change{{Record: lineage.Record{ID: "a"}}}
	_, err := s.Commit(t.Context(), "p", changes)
	var ce *lineage.ChangeError
	if !errors.As(err, &ce) || ce.ID != "a" || !errors.Is(err, lineage.ErrConflict) || m.commits != 0 {
		t.Errorf("got %v after %d commits", err, m.commits)
	}
	if v, err := s.Commit(t.Context(), "p", changes); !errors.Is(err, porttest.ErrInjected) || v != nil || m.commits != 1 {
		t.Errorf("got %v, %v after %d commits", v, err, m.commits)
	}
}
