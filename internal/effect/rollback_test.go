package effect_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// The story of these tests: red serves churn:6 since day 1, blue churn:7 since
// day 2, green churn:8 since day 3, and green breaches on day 4.
func day(n int) time.Time { return t0.AddDate(0, 0, n-4) }

// stage is that story's endpoint and what is known about it.
type stage struct {
	*workspace
	*chronicle
	target policy.RollbackTarget
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{newWorkspace(), newChronicle(t), policy.RollbackTarget{Endpoint: "churn-ep", DryRun: new(bool)}}
	var all []azureml.Deployment
	for i, name := range []string{"red", "blue", "green"} {
		version := string(rune('6' + i))
		all = append(all, azureml.Deployment{Name: name, State: "Succeeded", Model: event.ModelRef{Name: "churn", Version: version}})
		s.models["churn:"+version] = azureml.ModelVersion{Name: "churn", Version: version, Tags: map[string]string{"modelwarden.approved": "true"}}
		s.deployed(t, day(i+1), name, version)
		s.measured(t, day(i+1).Add(time.Hour), "w"+version, false)
	}
	s.measured(t, day(4), "run-7", true)
	s.endpoints["churn-ep"] = azureml.Endpoint{Name: "churn-ep", State: "Succeeded", Traffic: map[string]int{"green": 100}, Deployments: all}
	return s
}

// change edits the endpoint as Azure has it.
func (s *stage) change(edit func(*azureml.Endpoint)) {
	ep := s.endpoints["churn-ep"]
	edit(&ep)
	s.endpoints["churn-ep"] = ep
}

func (s *stage) deployment(name string, edit func(*azureml.Deployment)) {
	s.change(func(ep *azureml.Endpoint) {
		for i := range ep.Deployments {
			if ep.Deployments[i].Name == name {
				edit(&ep.Deployments[i])
			}
		}
	})
}

func (s *stage) model(version string, edit func(*azureml.ModelVersion)) {
	m := s.models["churn:"+version]
	edit(&m)
	s.models["churn:"+version] = m
}

// do performs a as a worker that has just started would.
func (s *stage) do(t *testing.T, a policy.Action) (policy.Outcome, error) {
	t.Helper()
	out, err := inWorkspace(t, s.workspace, s.chronicle, policy.Target{Rollback: &s.target}).Do(t.Context(), a)
	assertNoLeak(t, out, err)
	return out, err
}

func (s *stage) traffic() map[string]int { return s.endpoints["churn-ep"].Traffic }

func TestTrafficGoesBackToTheLastHealthyApprovedDeployment(t *testing.T) {
	s := newStage(t)
	out, err := s.do(t, action(policy.Rollback))
	if err != nil || out.Ref != "deployment/contoso-ml/churn-ep/blue" || s.shifts != 1 {
		t.Fatalf("%d shifts, %+v, %v", s.shifts, out, err)
	}
	if !maps.Equal(s.traffic(), map[string]int{"blue": 100, "green": 0}) {
		t.Errorf("traffic %v", s.traffic())
	}
	for _, want := range []string{
		"from deployment green (churn:8) to blue (churn:7)", "before blue=0 green=100",
		`to undo: az ml online-endpoint update --name churn-ep --traffic "blue=0 green=100" --resource-group rg1 --workspace-name contoso-ml`,
	} {
		if !strings.Contains(out.Summary, want) {
			t.Errorf("%q does not say %q", out.Summary, want)
		}
	}
}

func TestACanaryGivesItsShareBack(t *testing.T) {
	s := newStage(t)
	s.change(func(ep *azureml.Endpoint) { ep.Traffic = map[string]int{"red": 5, "blue": 85, "green": 10} })
	if _, err := s.do(t, action(policy.Rollback)); err != nil || !maps.Equal(s.traffic(), map[string]int{"red": 5, "blue": 95, "green": 0}) {
		t.Errorf("traffic %v, %v", s.traffic(), err)
	}
}

func TestADryRunSaysAllAndDoesNothing(t *testing.T) {
	s := newStage(t)
	s.target.DryRun = nil
	for range 2 {
		out, err := s.do(t, action(policy.Rollback))
		if err != nil || s.shifts != 0 || !strings.HasPrefix(out.Summary, "dry run, nothing was done: would shift the traffic of endpoint churn-ep from deployment green (churn:8) to blue (churn:7): blue=100 green=0, before blue=0 green=100") {
			t.Fatalf("%d shifts, %+v, %v", s.shifts, out, err)
		}
	}
	// It leaves nothing behind that a real one would trip over.
	s.target.DryRun = new(bool)
	if _, err := s.do(t, action(policy.Rollback)); err != nil || s.shifts != 1 {
		t.Errorf("%d shifts, %v", s.shifts, err)
	}
}

func TestRollbackPassesOverWhatIsNotFitToServe(t *testing.T) {
	for name, unfit := range map[string]struct {
		spoil func(*testing.T, *stage)
		says  string
	}{
		"not approved": {func(_ *testing.T, s *stage) { s.model("7", func(m *azureml.ModelVersion) { m.Tags = nil }) }, "is not approved: its tag modelwarden.approved is not true"},
		"archived":     {func(_ *testing.T, s *stage) { s.model("7", func(m *azureml.ModelVersion) { m.Archived = true }) }, "an archived model version"},
		"deleted":      {func(_ *testing.T, s *stage) { delete(s.models, "churn:7") }, "does not exist any more"},
		"failed":       {func(_ *testing.T, s *stage) { s.deployment("blue", func(d *azureml.Deployment) { d.State = "Failed" }) }, `is in state "Failed"`},
		"the same model": {func(_ *testing.T, s *stage) {
			s.deployment("blue", func(d *azureml.Deployment) { d.Model.Version = "8" })
		}, "serves the same model version"},
		"no model": {func(_ *testing.T, s *stage) {
			s.deployment("blue", func(d *azureml.Deployment) { d.Model = event.ModelRef{} })
		}, "serves no model version"},
		"breached itself": {func(t *testing.T, s *stage) { s.measured(t, day(2).Add(2*time.Hour), "bad", true) }, "was not healthy when it was replaced: monitor churn_monitor found a breach in its window bad"},
		"deployed since": {func(t *testing.T, s *stage) {
			s.deployment("blue", func(d *azureml.Deployment) { d.Model.Version, d.Created = "9", day(3).Add(time.Hour) })
		}, "is newer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			unfit.spoil(t, s)
			// Red is next in line.
			if out, err := s.do(t, action(policy.Rollback)); err != nil || out.Ref != "deployment/contoso-ml/churn-ep/red" {
				t.Errorf("%+v, %v", out, err)
			}
			// Without red there is none, and the refusal says why.
			s = newStage(t)
			unfit.spoil(t, s)
			s.model("6", func(m *azureml.ModelVersion) { m.Archived = true })
			_, err := s.do(t, action(policy.Rollback))
			if !isPermanent(err) || !strings.HasPrefix(err.Error(), "rollback refused: no deployment to go back to: ") || !strings.Contains(err.Error(), unfit.says) || s.shifts != 0 {
				t.Errorf("%d shifts, %v", s.shifts, err)
			}
		})
	}
}

func TestABreachThatPassedBeforeTheSuccessorCameIsForgiven(t *testing.T) {
	s := newStage(t)
	s.measured(t, day(2).Add(2*time.Hour), "bad", true)
	s.measured(t, day(2).Add(3*time.Hour), "good", false)
	if out, err := s.do(t, action(policy.Rollback)); err != nil || !strings.Contains(out.Ref, "blue") {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestABreachOfAPredecessorIsNotHeldAgainstIt(t *testing.T) {
	s := newStage(t)
	s.chronicle = newChronicle(t)
	s.deployed(t, day(1), "red", "6")
	s.measured(t, day(1).Add(time.Hour), "bad", true)
	s.deployed(t, day(2), "blue", "7")
	s.deployed(t, day(3), "green", "8")
	s.measured(t, day(4), "run-7", true)
	if out, err := s.do(t, action(policy.Rollback)); err != nil || !strings.Contains(out.Ref, "blue") || !strings.Contains(out.Summary, "no monitor measured") {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestRollbackIsRefusedWhenItAnswersToNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil  func(*testing.T, *stage)
		action func(*policy.Action)
		says   string
	}{
		"no such endpoint":         {spoil: func(_ *testing.T, s *stage) { s.target.Endpoint = "other-ep" }, says: "has no online endpoint other-ep"},
		"endpoint failed":          {spoil: func(_ *testing.T, s *stage) { s.change(func(ep *azureml.Endpoint) { ep.State = "Failed" }) }, says: `in state "Failed"`},
		"no traffic":               {spoil: func(_ *testing.T, s *stage) { s.change(func(ep *azureml.Endpoint) { ep.Traffic = nil }) }, says: "no deployment with traffic"},
		"another model":            {action: func(a *policy.Action) { a.Model = "model/contoso-ml/fraud" }, says: "no deployment with traffic is what this action is about"},
		"a version out of use":     {action: func(a *policy.Action) { a.Model = "model/contoso-ml/churn/7" }, says: "no deployment with traffic"},
		"another deployment":       {action: func(a *policy.Action) { a.Asset = "deployment/contoso-ml/churn-ep/blue" }, says: "no deployment with traffic"},
		"replaced in the meantime": {action: func(a *policy.Action) { a.Occurred = day(3).Add(-time.Minute) }, says: "after what this action answers to"},
		"alone": {spoil: func(_ *testing.T, s *stage) {
			s.change(func(ep *azureml.Endpoint) { ep.Deployments = ep.Deployments[2:] })
		}, says: "green is the only deployment"},
		"no endpoint named": {spoil: func(_ *testing.T, s *stage) { s.target.Endpoint = "" }, says: "speaks of no endpoint"},
		"a retrain":         {action: func(a *policy.Action) { a.Type = policy.Retrain }, says: "takes rollback actions"},
	} {
		s, a := newStage(t), action(policy.Rollback)
		if tc.spoil != nil {
			tc.spoil(t, s)
		}
		if tc.action != nil {
			tc.action(&a)
		}
		if _, err := s.do(t, a); !isPermanent(err) || !strings.Contains(err.Error(), tc.says) || s.shifts != 0 {
			t.Errorf("%s: %d shifts, %v", name, s.shifts, err)
		}
	}
}

func TestAnAlertOnADeploymentNamesItsEndpoint(t *testing.T) {
	s, a := newStage(t), action(policy.Rollback)
	s.target.Endpoint, a.Asset, a.Model = "", "deployment/contoso-ml/churn-ep/green", ""
	if out, err := s.do(t, a); err != nil || s.shifts != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestApprovalCanBeNamedOrWaived(t *testing.T) {
	no := false
	for name, prepare := range map[string]func(*stage){
		"waived": func(s *stage) { s.target.RequireApproval = &no },
		"another tag": func(s *stage) {
			s.target.ApprovalTag = "ok"
			s.model("7", func(m *azureml.ModelVersion) { m.Tags = map[string]string{"ok": "True"} })
		},
		"a property": func(s *stage) {
			s.model("7", func(m *azureml.ModelVersion) { m.Properties = map[string]string{"modelwarden.approved": "true"} })
		},
	} {
		s := newStage(t)
		for _, v := range []string{"6", "7"} {
			s.model(v, func(m *azureml.ModelVersion) { m.Tags = nil })
		}
		prepare(s)
		if out, err := s.do(t, action(policy.Rollback)); err != nil || !strings.Contains(out.Ref, "blue") {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
}

func TestUnmeasuredModelsAreSaidToBe(t *testing.T) {
	s := newStage(t)
	s.chronicle = newChronicle(t)
	for i, name := range []string{"red", "blue", "green"} {
		s.deployment(name, func(d *azureml.Deployment) { d.Created = day(i + 1) })
	}
	out, err := s.do(t, action(policy.Rollback))
	if err != nil || !strings.Contains(out.Ref, "blue") || !strings.Contains(out.Summary, "no monitor measured that model") {
		t.Errorf("%+v, %v", out, err)
	}
}
