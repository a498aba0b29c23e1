package app

import (
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func TestMaintenanceStandsAsSilences(t *testing.T) {
	f, err := policy.Parse("modelwarden.yaml", []byte(`
maintenance:
  - {name: night, from: 2026-03-01, to: 2026-03-01, repeat: daily, match: {model: churn, severity: [info, warning]}, reason: backups}
  - {name: later, from: 2026-12-20, to: 2026-12-21}
`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	got := standing(f, at)
	if len(got) != 1 {
		t.Fatalf("%d hold", len(got))
	}
	s := got[0]
	if s.ID != "maintenance-night" || s.By != "maintenance night" || s.Why != "backups" || s.State(at) != review.SilenceActive || !s.Until.Equal(at.Add(12*time.Hour)) {
		t.Errorf("%+v", s)
	}
	for r, want := range map[*review.Review]bool{
		{Model: "model/ws/churn/3", Severity: review.Warning}:  true,
		{Model: "model/ws/churn/3", Severity: review.Critical}: false,
		{Model: "model/ws/fraud/3", Severity: review.Info}:     false,
	} {
		if s.Match.Matches(r) != want {
			t.Errorf("it matches %s %s: %t", r.Severity, r.Model, !want)
		}
	}
	if all := standing(f, time.Date(2026, 12, 20, 12, 0, 0, 0, time.UTC)); len(all) != 2 || all[1].Why != "maintenance" {
		t.Errorf("in December: %+v", all)
	}
}
