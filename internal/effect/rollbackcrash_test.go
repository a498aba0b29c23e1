package effect_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// A crash between any two steps: the second attempt must neither shift twice
// nor take the deployment that now has the traffic for the bad one.
func TestOneKeyIsOneShift(t *testing.T) {
	lost := errors.New("connection lost")
	only := func(call string) func(string) error {
		return func(c string) error {
			if c == call {
				return lost
			}
			return nil
		}
	}
	for name, fault := range map[string]func(*stage){
		"the outcome was not recorded": func(*stage) {},
		"lost on the look":             func(s *stage) { s.before = only("endpoint") },
		"lost on the model":            func(s *stage) { s.before = only("model") },
		"lost before the shift":        func(s *stage) { s.before = only("traffic") },
		"lost after the shift":         func(s *stage) { s.after = only("traffic") },
	} {
		s, a := newStage(t), action(policy.Rollback)
		fault(s)
		if _, err := s.do(t, a); isPermanent(err) {
			t.Errorf("%s: gave up: %v", name, err)
		}
		s.heal()
		out, err := s.do(t, a)
		if err != nil || s.shifts != 1 || !maps.Equal(s.traffic(), map[string]int{"blue": 100, "green": 0}) || !strings.Contains(out.Summary, "before blue=0 green=100") {
			t.Errorf("%s: %d shifts, %v, %+v, %v", name, s.shifts, s.traffic(), out, err)
		}
	}
}

func TestTwoPoliciesRollBackOnce(t *testing.T) {
	s, first, second := newStage(t), action(policy.Rollback), action(policy.Rollback)
	second.Key = "another"
	second.ID = policy.ActionID(second.Key, second.Asset)
	if _, err := s.do(t, first); err != nil {
		t.Fatal(err)
	}
	if _, err := s.do(t, second); !isPermanent(err) || !strings.Contains(err.Error(), "was rolled back at") || s.shifts != 1 {
		t.Errorf("%d shifts, %v", s.shifts, err)
	}
	// What happens after that rollback is news, and green stays out.
	second.Occurred = t0.Add(2 * time.Hour)
	out, err := s.do(t, second)
	if err != nil || !strings.Contains(out.Ref, "red") || s.shifts != 2 {
		t.Errorf("%d shifts, %+v, %v", s.shifts, out, err)
	}
}

func TestWhatWasRolledBackIsNotGoneBackTo(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	if _, err := s.do(t, a); err != nil {
		t.Fatal(err)
	}
	// White comes and is bad too; green, the newest before it, was.
	s.deployed(t, day(5), "white", "9")
	s.measured(t, day(5).Add(-time.Hour), "after-rollback", false)
	s.change(func(ep *azureml.Endpoint) {
		ep.Deployments = append(ep.Deployments, azureml.Deployment{Name: "white", State: "Succeeded", Model: event.ModelRef{Name: "churn", Version: "9"}})
		ep.Traffic = map[string]int{"white": 100}
	})
	a.Key, a.Occurred = "another", day(6)
	if out, err := s.do(t, a); err != nil || !strings.Contains(out.Ref, "blue") {
		t.Errorf("%+v, %v", out, err)
	}
}

// Another attempt at the same rollback that comes after everything was done,
// and after a person had their way with the endpoint, finds it done.
func TestADoneRollbackStaysDone(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	if _, err := s.do(t, a); err != nil {
		t.Fatal(err)
	}
	s.change(func(ep *azureml.Endpoint) { ep.Traffic = map[string]int{"red": 100} })
	if out, err := s.do(t, a); err != nil || s.shifts != 1 || !strings.Contains(out.Ref, "blue") {
		t.Errorf("%d shifts, %+v, %v", s.shifts, out, err)
	}
}

// A rollback that never came about does not stand in the way of the next.
func TestAPlanThatFailedIsNoRollback(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	s.before = func(call string) error {
		if call == "traffic" {
			return &policy.PermanentError{Err: errors.New("no right to")}
		}
		return nil
	}
	if _, err := s.do(t, a); !isPermanent(err) {
		t.Fatal(err)
	}
	s.heal()
	a.Key = "another"
	if out, err := s.do(t, a); err != nil || s.shifts != 1 || !strings.Contains(out.Ref, "blue") {
		t.Errorf("%d shifts, %+v, %v", s.shifts, out, err)
	}
}

// meddler is a store in which another rollback is planned between a look and
// the next write.
type meddler struct {
	*chronicle
	meddle func()
}

func (m *meddler) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	if meddle := m.meddle; meddle != nil {
		m.meddle = nil
		meddle()
	}
	return m.chronicle.Commit(ctx, partition, changes)
}

func TestTwoRollbacksAtOnceAreOne(t *testing.T) {
	s, first, second := newStage(t), action(policy.Rollback), action(policy.Rollback)
	second.Key = "another"
	store := &meddler{chronicle: s.chronicle, meddle: func() {
		if _, err := s.do(t, second); err != nil {
			t.Error(err)
		}
	}}
	e := inWorkspace(t, s.workspace, store, policy.Target{Rollback: &s.target})
	if _, err := e.Do(t.Context(), first); err == nil || isPermanent(err) || s.shifts != 1 {
		t.Errorf("%d shifts, %v", s.shifts, err)
	}
	if _, err := e.Do(t.Context(), first); !isPermanent(err) || !strings.Contains(err.Error(), "was rolled back at") || s.shifts != 1 {
		t.Errorf("%d shifts, %v", s.shifts, err)
	}
}

func TestSomebodyElsesChangeIsNotOverwritten(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	s.before = func(call string) error {
		if call == "traffic" {
			// Between looking and setting.
			s.change(func(ep *azureml.Endpoint) { ep.Traffic = map[string]int{"green": 50, "red": 50} })
		}
		return nil
	}
	if _, err := s.do(t, a); !errors.Is(err, lineage.ErrConflict) || isPermanent(err) {
		t.Errorf("the first attempt: %v", err)
	}
	s.heal()
	if _, err := s.do(t, a); !isPermanent(err) || !strings.Contains(err.Error(), "somebody changed its traffic meanwhile: it is green=50 red=50, it was blue=0 green=100") || s.shifts != 0 {
		t.Errorf("the second: %d shifts, %v", s.shifts, err)
	}
}

func TestTheTargetIsLookedAtAgainBeforeALateShift(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	s.before = func(call string) error {
		if call == "traffic" {
			return errDown
		}
		return nil
	}
	if _, err := s.do(t, a); !errors.Is(err, errDown) {
		t.Fatal(err)
	}
	s.heal()
	s.deployment("blue", func(d *azureml.Deployment) { d.State = "Failed" })
	if _, err := s.do(t, a); !isPermanent(err) || !strings.Contains(err.Error(), `deployment blue is in state "Failed"`) || s.shifts != 0 {
		t.Errorf("%d shifts, %v", s.shifts, err)
	}
	s.change(func(ep *azureml.Endpoint) { ep.Deployments = ep.Deployments[2:] })
	if _, err := s.do(t, a); !isPermanent(err) || !strings.Contains(err.Error(), "does not exist any more") {
		t.Errorf("gone: %v", err)
	}
}

func TestABusyEndpointIsWaitedFor(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	s.change(func(ep *azureml.Endpoint) { ep.State = "Updating" })
	if _, err := s.do(t, a); retryAfter(err) != 30*time.Second || s.shifts != 0 {
		t.Errorf("got %v", err)
	}
}

func TestTheShiftIsVerified(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	s.after = func(string) error {
		s.change(func(ep *azureml.Endpoint) { ep.Traffic = map[string]int{"green": 100} }) // Azure took it and forgot
		return nil
	}
	if _, err := s.do(t, a); err == nil || isPermanent(err) || !strings.Contains(err.Error(), "its traffic is green=100 after it was set to blue=100 green=0") {
		t.Errorf("got %v", err)
	}
	s.heal()
	if _, err := s.do(t, a); err != nil || s.traffic()["blue"] != 100 {
		t.Errorf("again: %v, %v", s.traffic(), err)
	}
}

func TestRollbackNeedsItsStore(t *testing.T) {
	s := newStage(t)
	broken := inWorkspace(t, s.workspace, brokenStore{}, policy.Target{Rollback: &s.target})
	if _, err := broken.Do(t.Context(), action(policy.Rollback)); err == nil || isPermanent(err) || s.shifts != 0 {
		t.Errorf("%d shifts, %v", s.shifts, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inWorkspace(t, s.workspace, s.chronicle, policy.Target{Rollback: &s.target}).Do(ctx, action(policy.Rollback)); err == nil || isPermanent(err) {
		t.Errorf("ended context: %v", err)
	}
	if _, err := effect.New(map[string]policy.Target{"t": {Rollback: &s.target}}, effect.Deps{AzureML: s.workspace, Workspace: byAlias}); err == nil {
		t.Error("made without a store")
	}
}

// The shift is done and its note is lost: the repeat writes it.
func TestTheNoteOfARollbackIsWrittenInTheEnd(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	store := &lossy{chronicle: s.chronicle, lose: 2}
	e := inWorkspace(t, s.workspace, store, policy.Target{Rollback: &s.target})
	if _, err := e.Do(t.Context(), a); err == nil || isPermanent(err) || s.shifts != 1 {
		t.Fatalf("%d shifts, %v", s.shifts, err)
	}
	// Another policy's rollback sees by the traffic that it is in force.
	second := a
	second.Key = "another"
	if _, err := e.Do(t.Context(), second); !isPermanent(err) || !strings.Contains(err.Error(), "was rolled back at") || s.shifts != 1 {
		t.Errorf("%d shifts, %v", s.shifts, err)
	}
	if _, err := e.Do(t.Context(), a); err != nil || s.shifts != 1 {
		t.Errorf("%d shifts, %v", s.shifts, err)
	}
	s.change(func(ep *azureml.Endpoint) { ep.Traffic = map[string]int{"red": 100} })
	if _, err := e.Do(t.Context(), a); err != nil {
		t.Errorf("not noted: %v", err)
	}
}

// lossy fails one commit, counted from 1.
type lossy struct {
	*chronicle
	lose int
}

func (l *lossy) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	if l.lose--; l.lose == 0 {
		return nil, errDown
	}
	return l.chronicle.Commit(ctx, partition, changes)
}
