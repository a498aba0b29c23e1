package worker_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// another turns a breach of data drift into one of another signal.
func another(e event.Envelope) event.Envelope {
	e.Data = []byte(strings.ReplaceAll(string(e.Data), "_data_drift", "_prediction_drift"))
	return e
}

// TestWhichWindowTells plays a retrain whose version is in service at minute
// 50, and then what the monitor measures.
func TestWhichWindowTells(t *testing.T) {
	for name, c := range map[string]struct {
		measured []event.Envelope
		verdict  policy.Efficacy
		window   string
	}{
		"one before the version was in service does not": {[]event.Envelope{breach("x1", "m_monitor", "early", 45)}, "", ""},
		"the breached one again does not, however late":  {[]event.Envelope{breach("x1", "m_monitor", "w0", 90)}, "", ""},
		"the breach of another signal is no breach of this one, nor a pass while the run goes on": {
			[]event.Envelope{linked(another(breach("x1", "m_monitor", "step", 90)), "root")}, "", ""},
		"its run's end without this signal is a pass": {
			[]event.Envelope{linked(another(breach("x1", "m_monitor", "step", 90)), "root"), passed("x2", "m_monitor", "root", 95)}, policy.Effective, "root"},
		"a run's end around a breach that does not name its run is no pass": {
			[]event.Envelope{passed("x2", "m_monitor", "root", 95), breach("x1", "m_monitor", "step", 90)}, policy.Ineffective, "step"},
		"the first of several does": {
			[]event.Envelope{breach("x2", "m_monitor", "second", 400), passed("x1", "m_monitor", "first", 200)}, policy.Effective, "first"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, retrainPolicy, nil)
				r.effects.answer = startsRun
				r.send(breach("b0", "m_monitor", "w0", 0), passed("r0", "m_monitor", "root0", 1))
				r.work(time.Minute)
				a := r.retrain()
				r.send(trained(a, "13", 30)...)
				r.work(time.Minute)
				for _, e := range c.measured {
					r.send(e)
					r.work(time.Minute)
				}
				a, _, err := policy.GetAction(t.Context(), r.db.Store(), a.ID)
				if err != nil {
					t.Fatal(err)
				}
				if a.Loop.Verdict != c.verdict || c.window != "" && (a.Loop.Window == nil || a.Loop.Window.ID != c.window) {
					t.Errorf("got %q by %+v: %s", a.Loop.Verdict, a.Loop.Window, a.Loop.Why)
				}
			})
		})
	}
}

func TestARetrainThatWasNotDeployedIsNotIneffective(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, retrainPolicy, nil)
		r.effects.answer = startsRun
		r.send(breach("b0", "m_monitor", "w0", 0))
		r.work(time.Minute)
		a := r.retrain()
		news := trained(a, "13", 30)
		r.send(news[0], news[1], breach("b1", "m_monitor", "w1", 60), passed("r1", "m_monitor", "root1", 61))
		r.work(time.Minute)
		loop := func() policy.Loop {
			got, _, err := policy.GetAction(t.Context(), r.db.Store(), a.ID)
			if err != nil {
				t.Fatal(err)
			}
			return *got.Loop
		}
		if l := loop(); l.Verdict != policy.UnknownEfficacy || l.Why != "version 13 not deployed by the next window, which still breached" {
			t.Errorf("got %q: %s", l.Verdict, l.Why)
		}
		// It goes into service late: then the next window tells after all.
		r.send(deployed("late", "m", "13", 70))
		r.work(time.Minute)
		if l := loop(); l.Verdict != "" {
			t.Errorf("deployed late, got %q: %s", l.Verdict, l.Why)
		}
		r.send(passed("p1", "m_monitor", "w2", 90))
		r.work(time.Minute)
		if l := loop(); l.Verdict != policy.Effective {
			t.Errorf("got %q: %s", l.Verdict, l.Why)
		}
	})
}

func TestRunsThatFailOrAreLostAreToldApartFromRetrainsThatDoNotHelp(t *testing.T) {
	for name, c := range map[string]struct {
		status, why string
	}{
		"failed": {"Failed", "the run ended as Failed"},
		"lost":   {"", "the run ended as NotResponding"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, retrainPolicy, nil)
				r.effects.answer = startsRun
				r.send(breach("b0", "m_monitor", "w0", 0))
				r.work(time.Minute)
				a := r.retrain()
				if c.status != "" {
					r.send(runEvent("e1", "job-"+a.Key, c.status, 10, map[string]any{event.OriginTag: a.ID}))
				}
				r.work(25 * time.Hour)
				if l := r.retrain().Loop; l.Verdict != policy.UnknownEfficacy || l.Why != c.why {
					t.Errorf("got %q: %s", l.Verdict, l.Why)
				}
			})
		})
	}
}
