package policy

import (
	"testing"
)

func TestMistakesInConditionsAreExplained(t *testing.T) {
	for text, want := range map[string]exprProblem{
		"breach.value > ":             {1, 16, "ends too early: something is missing after this"},
		"breach.value = 3":            {1, 14, "one = is not a comparison: write =="},
		"breach.value > 3 4":          {1, 18, "4 does not fit here"},
		"breach.value > @x":           {1, 16, "@ is not understood here"},
		"metrics.a > 0.1 and true":    {1, 17, "write && for and"},
		"true or true":                {1, 6, "write || for or"},
		"now > '2026'":                {1, 5, "> does not go with (timestamp, string)"},
		"metrics.a + 1 > 0.5":         {1, 11, "+ does not go with (double, int): write numbers beside metrics and values with a decimal point, 1.0 instead of 1"},
		"modle.name == 'x'":           {1, 1, `unknown name "modle": did you mean model?`},
		"model.nmae == 'x'":           {1, 6, `there is no field "nmae": did you mean name?`},
		"true &&\n  run.statsu == ''": {2, 6, `there is no field "statsu": did you mean status?`},
		"breach":                      {1, 1, "is a breach: a condition has to be true or false, such as breach.value > 0.25"},
		"'x'":                         {1, 1, "is a string: a condition has to be true or false, such as breach.value > 0.25"},
	} {
		_, problems := compileCondition(text)
		if len(problems) == 0 || problems[0] != want {
			t.Errorf("%q\ngot  %+v\nwant %+v", text, problems, want)
		}
	}
}

// A condition whose cost does not depend on the event is not measured while
// it runs, so most pay nothing for the limit.
func TestFewTriesWhereOneIsExpensive(t *testing.T) {
	for text, want := range map[string]int{
		"breach.value > 0.25": maxJudged,
		`run.tags.exists(k, k.contains("x")) && breach.value > 0.25`: minJudged,
	} {
		c, problems := compileCondition(text)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := c.tries(); got != want {
			t.Errorf("%s is tried on %d breaches, want %d", text, got, want)
		}
	}
}
