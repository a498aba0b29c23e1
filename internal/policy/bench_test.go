package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// manyPolicies is a file of n policies, each for a model of its own, some by
// name, some by pattern. Number 0 is for churn.
func manyPolicies(n int) string {
	var b strings.Builder
	b.WriteString("targets: {trainer: {log: {}}}\npolicies:\n")
	for i := range n {
		match := fmt.Sprintf("{workspace: contoso-ml, model: model-%d}", i)
		switch {
		case i == 0:
			match = `{workspace: contoso-ml, model: "churn*"}`
		case i%3 == 0:
			match = fmt.Sprintf("{model: \"model-%d-*\"}", i)
		case i%3 == 1:
			match = fmt.Sprintf("{monitor: [\"monitor-%d\", \"watch-%d-*\"]}", i, i)
		}
		fmt.Fprintf(&b, `  - name: p%d
    on: [monitor.breached]
    match: %s
    when: breach.metric == "PopulationStabilityIndex" && breach.value > 0.25
    sustained: {count: 1, of: 3}
    then:
      - retrain: {target: trainer, cooldown: 6h, maxPerDay: 2}
      - review: {severity: warning, ackWithin: 30m}
`, i, match)
	}
	return b.String()
}

// BenchmarkDecide shows what an event costs with 1 and with 1,000 policies
// loaded, of which one matches it, and of which none does.
func BenchmarkDecide(b *testing.B) {
	matching := monitorEvent(event.MonitorBreached, "w1", start, drift("tenure", 0.22), drift("age", 0.35))
	other := monitorEvent(event.MonitorBreached, "w1", start, drift("tenure", 0.22), drift("age", 0.35))
	other.Monitor = &event.Monitor{Name: "fraud_monitor", Model: "fraud", Window: "w1"}
	for _, n := range []int{1, 1000} {
		set := compile(b, manyPolicies(n))
		for name, c := range map[string]struct {
			ev   *event.Event
			want int
		}{"one matches": {matching, 1}, "none matches": {other, 0}} {
			b.Run(fmt.Sprintf("%s of %d", name, n), func(b *testing.B) {
				view := policy.View{Asset: "monitor/contoso-ml/" + c.ev.Monitor.Name}
				b.ReportAllocs()
				for b.Loop() {
					if r := set.Decide(c.ev, view, start); len(r.Decisions) != c.want {
						b.Fatal(summary(r))
					}
				}
			})
		}
	}
}

// BenchmarkParse reads a file of 1,000 policies.
func BenchmarkParse(b *testing.B) {
	text := []byte(manyPolicies(1000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse("p.yaml", text); err != nil {
			b.Fatal(err)
		}
	}
}
