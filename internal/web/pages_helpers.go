package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// helpers are the functions that templates call.
func helpers(now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"rfc":      func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"clock":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") },
		"ago":      func(t time.Time) string { return ago(now().Sub(t)) },
		"took":     took,
		"asset":    func(id any) assetLink { return linkTo(fmt.Sprint(id)) },
		"short":    shortKey,
		"count":    count,
		"plain":    func(v any) string { return strings.ReplaceAll(fmt.Sprint(v), "_", " ") },
		"number":   number,
		"exceeded": exceeded,
		"gauge":    newGauge,
		"pretty":   pretty,
		"texts":    sortedPairs[string],
		"matches":  pairsOfMatch,
		"values":   sortedPairs[any],
		"choice": func(name, label, chosen string, options ...string) choice {
			return choice{name, label, chosen, options}
		},
		"field":       func(name, label, value, hint string) field { return field{name, label, value, hint} },
		"directionOf": directionOf,
		"registered":  registered,
		"webURL":      webURL,
		"percent":     percent,
	}
}

// registered is the time that a fact of that name holds, nil for other facts.
func registered(fact pair) *time.Time {
	t, err := time.Parse(time.RFC3339Nano, fact.Value)
	if fact.Name != "registered" || err != nil {
		return nil
	}
	return &t
}

// choice is a select box, field a text box of a filter form.
type choice struct {
	Name, Label, Chosen string
	Options             []string
}

type field struct{ Name, Label, Value, Hint string }

// assetLink shows an asset: kind, name and version, and where its page is.
type assetLink struct{ ID, Kind, Workspace, Name string }

// linkTo reads an asset's id; what is none becomes a link to nowhere.
func linkTo(text string) assetLink {
	id, err := lineage.ParseID(text)
	if err != nil {
		return assetLink{Name: text}
	}
	name := id.Name()
	if v := id.Version(); v != "" {
		name += " / " + v
	}
	return assetLink{ID: string(id), Kind: string(id.Kind()), Workspace: id.Workspace(), Name: name}
}

// ago writes an age in its largest unit, "in" for what is to come.
func ago(d time.Duration) string {
	if d < -time.Second {
		return "in " + span(-d)
	}
	if d < 5*time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d", int(d.Hours()/24))
	}
}

// took writes how long a step lasted, "" when one end is not known.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return ""
	}
	d := to.Sub(from)
	if d < time.Second {
		return fmt.Sprintf("+%d ms", d.Milliseconds())
	}
	return "+" + d.Round(10*time.Millisecond).String()
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// shortKey is the beginning of an event's key: enough to tell events apart on
// a page, whose links hold the whole.
func shortKey(key string) string {
	k, _, _ := strings.Cut(key, "@")
	if len(k) > 10 {
		return k[:10] + "…"
	}
	return k
}

// number writes a value for people; nil is "unknown".
func number(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return strconv.FormatFloat(*v, 'g', 4, 64)
}

// exceeded writes by how much a threshold was missed.
func exceeded(v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%.0f%% beyond", *v*100)
}

// directionOf is the relation of a breaching value to its threshold.
func directionOf(b event.Breach) string {
	if b.Direction == event.LowerIsBad {
		return "<"
	}
	return ">"
}

// webURL reports whether an effector's URL may become a link.
func webURL(u string) bool {
	return strings.HasPrefix(u, "https://") || strings.HasPrefix(u, "http://")
}

// gauge is a value drawn against its threshold, in hundredths of the width.
type gauge struct{ Value, Threshold float64 }

// newGauge scales a breach; nil where there is nothing to draw.
func newGauge(b event.Breach) *gauge {
	if b.Value == nil || b.Threshold == nil || *b.Value < 0 || *b.Threshold < 0 {
		return nil
	}
	scale := math.Max(*b.Value, *b.Threshold) * 1.15
	if scale == 0 || math.IsInf(scale, 0) || math.IsNaN(scale) {
		return nil
	}
	return &gauge{Value: round(*b.Value / scale * 100), Threshold: round(*b.Threshold / scale * 100)}
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// maxPretty bounds how much JSON a page shows.
const maxPretty = 64 << 10

// pretty indents JSON; other values are marshalled first.
func pretty(v any) string {
	raw, ok := v.(json.RawMessage)
	if !ok {
		raw, _ = json.Marshal(v)
	}
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		b.Reset()
		b.Write(raw)
	}
	if b.Len() > maxPretty {
		return strings.ToValidUTF8(b.String()[:maxPretty], "") + "\n… the API has the rest"
	}
	return b.String()
}

type pair struct{ Name, Value string }

// sortedPairs lists a map by name; values that are no text are JSON.
func sortedPairs[V any](m map[string]V) []pair {
	out := make([]pair, 0, len(m))
	for name, v := range m {
		text, ok := any(v).(string)
		if !ok {
			b, _ := json.Marshal(v)
			text = string(b)
		}
		out = append(out, pair{name, text})
	}
	slices.SortFunc(out, func(a, b pair) int { return strings.Compare(a.Name, b.Name) })
	return out
}
