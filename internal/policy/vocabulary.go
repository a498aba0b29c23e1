package policy

import (
	"time"

	"cel.dev/cel-go/common/types"

	"github.com/modelwarden/modelwarden/internal/event"
)

// The vocabulary is what a condition can name: objects with typed fields, so
// that a misspelt field is found when the file is loaded. One table serves
// the type checker, the evaluation and the record of what was read.

// object is the type of a variable.
type object struct {
	name   string
	fields map[string]field
}

// field is one field of an object. get reports false where the value is not
// known; v is what the variable is bound to.
type field struct {
	typ *types.Type
	get func(v any) (any, bool)
}

var (
	stringsType = types.NewMapType(types.StringType, types.StringType)
	numbersType = types.NewMapType(types.StringType, types.DoubleType)
)

// textField is a string that is always known, if only as empty; has() tells.
func textField[T any](get func(T) string) field {
	return field{typ: types.StringType, get: func(v any) (any, bool) { return get(v.(T)), true }}
}

func mapField[T any](get func(T) map[string]string) field {
	return field{typ: stringsType, get: func(v any) (any, bool) {
		if m := get(v.(T)); m != nil {
			return m, true
		}
		return map[string]string{}, true
	}}
}

func numberField[T any](get func(T) *float64) field {
	return field{typ: types.DoubleType, get: func(v any) (any, bool) {
		if n := get(v.(T)); n != nil {
			return *n, true
		}
		return nil, false
	}}
}

func timeField[T any](get func(T) time.Time) field {
	return field{typ: types.TimestampType, get: func(v any) (any, bool) {
		t := get(v.(T))
		return t, !t.IsZero()
	}}
}

var eventObject = object{name: "event", fields: map[string]field{
	"key":       textField(func(e *event.Event) string { return string(e.Key()) }),
	"id":        textField(func(e *event.Event) string { return e.ID }),
	"type":      textField(func(e *event.Event) string { return e.Type }),
	"kind":      textField(func(e *event.Event) string { return string(e.Kind) }),
	"source":    textField(func(e *event.Event) string { return e.Source }),
	"subject":   textField(func(e *event.Event) string { return e.Subject }),
	"workspace": textField(func(e *event.Event) string { return e.Workspace.Alias }),
	"time":      timeField(func(e *event.Event) time.Time { return e.Time }),
	"synthetic": {typ: types.BoolType, get: func(v any) (any, bool) { return v.(*event.Event).Synthetic, true }},
	"breaches":  {typ: types.IntType, get: func(v any) (any, bool) { return int64(len(v.(*event.Event).Breaches)), true }},
	"truncated": {typ: types.BoolType, get: func(v any) (any, bool) { return v.(*event.Event).Loss != nil, true }},
}}

var breachObject = object{name: "breach", fields: map[string]field{
	"monitor":    textField(func(b *event.Breach) string { return b.Monitor }),
	"signal":     textField(func(b *event.Breach) string { return b.Signal }),
	"signalType": textField(func(b *event.Breach) string { return b.SignalType }),
	"feature":    textField(func(b *event.Breach) string { return b.Feature }),
	"metric":     textField(func(b *event.Breach) string { return b.Metric }),
	"direction":  textField(func(b *event.Breach) string { return string(b.Direction) }),
	"value":      numberField(func(b *event.Breach) *float64 { return b.Value }),
	"threshold":  numberField(func(b *event.Breach) *float64 { return b.Threshold }),
	"exceeded":   numberField(func(b *event.Breach) *float64 { return b.Exceeded }),
}}

var runObject = object{name: "run", fields: map[string]field{
	"id":         textField(func(r *event.Run) string { return r.ID }),
	"experiment": textField(func(r *event.Run) string { return r.ExperimentName }),
	"type":       textField(func(r *event.Run) string { return r.Type }),
	"status":     textField(func(r *event.Run) string { return r.Status }),
	"origin":     textField(func(r *event.Run) string { return r.Origin }),
	"tags":       mapField(func(r *event.Run) map[string]string { return r.Tags }),
	"properties": mapField(func(r *event.Run) map[string]string { return r.Properties }),
}}

var alertObject = object{name: "alert", fields: map[string]field{
	"id":          textField(func(a *event.Alert) string { return a.ID }),
	"rule":        textField(func(a *event.Alert) string { return a.Rule }),
	"severity":    textField(func(a *event.Alert) string { return a.Severity }),
	"endpoint":    textField(func(a *event.Alert) string { return a.Endpoint }),
	"deployment":  textField(func(a *event.Alert) string { return a.Deployment }),
	"model":       textField(func(a *event.Alert) string { return a.Model }),
	"description": textField(func(a *event.Alert) string { return a.Description }),
	"fired":       timeField(func(a *event.Alert) time.Time { return a.Fired }),
	"resolved":    timeField(func(a *event.Alert) time.Time { return a.Resolved }),
	"custom":      mapField(func(a *event.Alert) map[string]string { return a.Custom }),
	"value":       numberField(func(a *event.Alert) *float64 { return firstCondition(a).Value }),
	"threshold":   numberField(func(a *event.Alert) *float64 { return firstCondition(a).Threshold }),
	"metric":      textField(func(a *event.Alert) string { return firstCondition(a).Metric }),
}}

// firstCondition is an alert's first metric condition: nearly all have one.
func firstCondition(a *event.Alert) event.AlertCondition {
	if len(a.Conditions) == 0 {
		return event.AlertCondition{}
	}
	return a.Conditions[0]
}

// assetFacts are what `asset` and `model` are bound to.
type assetFacts struct {
	id, kind, workspace, name, version string
	stage, owner                       string
	tags, properties                   map[string]string
}

var assetObject = object{name: "asset", fields: map[string]field{
	"id":        textField(func(a *assetFacts) string { return a.id }),
	"kind":      textField(func(a *assetFacts) string { return a.kind }),
	"workspace": textField(func(a *assetFacts) string { return a.workspace }),
	"name":      textField(func(a *assetFacts) string { return a.name }),
	"version":   textField(func(a *assetFacts) string { return a.version }),
}}

var modelObject = object{name: "model", fields: map[string]field{
	"id":         assetObject.fields["id"],
	"workspace":  assetObject.fields["workspace"],
	"name":       assetObject.fields["name"],
	"version":    assetObject.fields["version"],
	"stage":      textField(func(a *assetFacts) string { return a.stage }),
	"owner":      textField(func(a *assetFacts) string { return a.owner }),
	"tags":       mapField(func(a *assetFacts) map[string]string { return a.tags }),
	"properties": mapField(func(a *assetFacts) map[string]string { return a.properties }),
}}

// championFacts are what `champion` is bound to.
type championFacts struct{ metrics map[string]float64 }

var championObject = object{name: "champion", fields: map[string]field{
	"metrics": {typ: numbersType, get: func(v any) (any, bool) {
		if m := v.(*championFacts).metrics; m != nil {
			return m, true
		}
		return map[string]float64{}, true
	}},
}}

var objects = func() map[string]object {
	out := map[string]object{}
	for _, o := range []object{eventObject, assetObject, modelObject, runObject, breachObject, alertObject, championObject} {
		out[o.name] = o
	}
	return out
}()

// variables are all names that a condition can begin with.
var variables = map[string]*types.Type{
	"event":    types.NewObjectType("event"),
	"asset":    types.NewObjectType("asset"),
	"model":    types.NewObjectType("model"),
	"run":      types.NewObjectType("run"),
	"breach":   types.NewObjectType("breach"),
	"alert":    types.NewObjectType("alert"),
	"champion": types.NewObjectType("champion"),
	"metrics":  numbersType,
	"history":  types.NewMapType(types.StringType, types.DynType),
	"now":      types.TimestampType,
}

// objectName tells which object a bound value is; "" for none.
func objectName(v any) string {
	switch v.(type) {
	case *event.Event:
		return "event"
	case *event.Breach:
		return "breach"
	case *event.Run:
		return "run"
	case *event.Alert:
		return "alert"
	case *assetFacts:
		return "model" // which has every field of asset
	case *championFacts:
		return "champion"
	}
	return ""
}
