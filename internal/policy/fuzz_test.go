package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// FuzzParse feeds anything: a file is read or refused with problems that say
// where, in bounded time; what is read compiles, decides and explains.
func FuzzParse(f *testing.F) {
	for _, kind := range []string{"valid", "invalid", "unsound"} {
		for _, text := range files(f, kind) {
			f.Add(text)
		}
	}
	f.Add("a: &a [*a]")
	f.Add("a: &a {b: *a}")
	f.Add(strings.Repeat("[", 5000))
	f.Add(strings.Repeat("- ", 5000))
	f.Add(strings.Repeat("&a ", 5000) + "x")
	f.Add("policies: [{name: a, on: [job.failed], when: '" + strings.Repeat("(", 500) + "', then: [{review: {}}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		begin := time.Now()
		file, err := policy.Parse("f.yaml", []byte(text))
		if took := time.Since(begin); took > 5*time.Second {
			t.Fatalf("took %v for %d bytes", took, len(text))
		}
		if err != nil {
			var problems policy.Problems
			if !errors.As(err, &problems) || len(problems) == 0 || err.Error() == "" {
				t.Fatalf("error without problems: %v", err)
			}
			return
		}
		set, err := policy.Compile(file, policy.CompileOptions{})
		if err != nil {
			t.Fatalf("parses but does not compile: %v", err)
		}
		ev := monitorEvent(event.MonitorBreached, "w", start, drift("age", 0.3))
		if _, err := jsonOf(set.Decide(ev, policy.View{}, start)); err != nil {
			t.Fatal(err)
		}
		if e := set.Explain(ev, policy.View{}, start); len(e.Policies) != len(file.Policies) || e.Text() == "" {
			t.Fatal("an explanation lacks policies")
		}
	})
}
