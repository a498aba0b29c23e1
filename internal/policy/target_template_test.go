package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// known are an action's values for the templates of this test.
func known(name string) (any, error) {
	v, ok := map[string]any{
		"model": "churn", "version": "", "window": "2026-03-02", "signal": "",
		"breaches": []any{map[string]any{"feature": "age", "value": 0.35}},
		"metrics":  map[string]any(nil),
		"alert":    map[string]any{"custom": map[string]any{}},
		"data":     map[string]string{"churn": "7"},
	}[name]
	if !ok {
		return nil, errStore
	}
	return v, nil
}

var errStore = errors.New("the store is down")

func TestTemplatesAreFilledIn(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"azureml:churn@latest":         "azureml:churn@latest",
		"{{model}}-{{ window }}":       "churn-2026-03-02",
		"azureml:churn:{{data.churn}}": "azureml:churn:7",
		`{{ data["churn"] }}`:          "7",
		"{{ breaches[0].feature }} {{ breaches[0].value }}": "age 0.35",
		"{{ size(breaches) * 1000000 }}":                    "1000000",
		"{{ size(metrics) > 0 }}":                           "false",
		`{{ signal == "" ? "all" : signal }}`:               "all",
		`{{ has(data.other) ? data.other : "latest" }}`:     "latest",
		`{{ model.upperAscii() }}`:                          "CHURN",
		`literal {{ "{{" }}`:                                "literal {{",
	} {
		tmpl, err := policy.CompileTemplate(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := tmpl.Render(known); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestTemplatesThatCantWorkAreFoundAtOnce(t *testing.T) {
	for text, says := range map[string]string{
		"{{ modle }}":              "did you mean model?",
		"{{ model":                 "without }}",
		"{{ }}":                    "nothing in it",
		"{{ breaches }}":           "is a list",
		"{{ model + 1 }}":          "does not go with",
		"{{ model.name }}":         "does not support field selection",
		`{{ model.matches("(") }}`: "invalid",
	} {
		if _, err := policy.CompileTemplate(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func TestWhatIsNotKnownIsPermanentAndAFaultIsNot(t *testing.T) {
	for text, says := range map[string]string{
		"{{ signal }}":                 "came out empty",
		"{{ data.other }}":             "other is not known for this action",
		"{{ breaches[1].feature }}":    "index",
		"{{ alert.custom }}":           "is a map",
		"v{{ metrics.accuracy }}":      "accuracy is not known",
		`{{ asset == "" ? "a" : "" }}`: "the store is down",
	} {
		tmpl, err := policy.CompileTemplate(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, err = tmpl.Render(known)
		var permanent *policy.PermanentError
		if err == nil || !strings.Contains(err.Error(), says) || errors.As(err, &permanent) == errors.Is(err, errStore) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

// Whatever a text holds, it is refused when it is read or comes out as text or
// as an error that says whether to try again.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"", "{{", "{{ model }}", "a{{model}}b{{ data.churn }}", "{{ breaches.map(b, b.feature).join(',') }}",
		"{{ breaches[0].value * 2.0 }}", "{{ {1: 2}[1] }}", "{{ '}}' }}", "{{ model.matches('c+') }}", "{{ metrics.x > 1 ? 1 : 2 }}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := policy.CompileTemplate(text)
		if err != nil {
			return
		}
		out, err := tmpl.Render(known)
		var permanent *policy.PermanentError
		if err != nil && (out != "" || errors.As(err, &permanent) == errors.Is(err, errStore)) {
			t.Errorf("%q: %q, %v", text, out, err)
		}
		if !strings.Contains(text, "{{") && out != text {
			t.Errorf("%q became %q", text, out)
		}
	})
}
