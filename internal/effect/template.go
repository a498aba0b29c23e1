package effect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// records reads what the lineage knows; a lineage.Store is one.
type records interface {
	Get(ctx context.Context, partition string, ids ...string) ([]lineage.Record, error)
}

// loadAsset reads an asset's document; an empty one when nothing is known.
func loadAsset(ctx context.Context, r records, id lineage.ID) (*lineage.Asset, error) {
	got, err := r.Get(ctx, string(id), lineage.AssetRecord)
	if err != nil {
		return nil, err
	}
	if got[0].Version == "" {
		return &lineage.Asset{}, nil
	}
	return lineage.DecodeAsset(got[0].Body)
}

// inputs are what a target is given, its texts compiled.
type inputs map[string]any

// newInputs compiles the texts. The error names the input.
func newInputs(in map[string]any) (inputs, error) {
	out := inputs{}
	for name, value := range in {
		out[name] = value
		text, ok := value.(string)
		if !ok {
			continue
		}
		t, err := policy.CompileTemplate(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = t
	}
	return out, nil
}

// render fills the inputs in for an action: text stays text, other values stay
// what they are. Asking the lineage may fail for now; all else is permanent.
func (in inputs) render(ctx context.Context, r records, a policy.Action) (map[string]any, error) {
	f, err := newFacts(ctx, r, a)
	if err != nil {
		return nil, err
	}
	out := make(map[string]any, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		t, ok := in[name].(*policy.Template)
		if !ok {
			out[name] = in[name]
			continue
		}
		if out[name], err = t.Render(f.lookup); err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
	}
	return out, nil
}

// texts is render for receivers that know nothing but text.
func (in inputs) texts(ctx context.Context, r records, a policy.Action) (map[string]string, error) {
	values, err := in.render(ctx, r, a)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(values)+1)
	for name, value := range values {
		out[name] = literal(value)
	}
	return out, nil
}

// facts are what the expressions of a template can name.
type facts struct {
	a      policy.Action
	inputs map[string]any
	// baseline asks the lineage, once and only if an expression wants it.
	baseline func() (baseline, error)
}

// baseline is the training behind the model version that is in service.
type baseline struct {
	// about are its model version ("version") and run ("run").
	about map[string]string
	// data are the versions of the data assets that it read, by name.
	data map[string]string
}

func newFacts(ctx context.Context, r records, a policy.Action) (*facts, error) {
	f := &facts{a: a, inputs: map[string]any{}}
	// Through JSON, so that an action looks the same before and after it was
	// stored.
	body, err := json.Marshal(a.Inputs)
	if err == nil {
		err = json.Unmarshal(body, &f.inputs)
	}
	if err != nil {
		return nil, &policy.PermanentError{Err: fmt.Errorf("action %s: its inputs are not JSON: %w", a.Key, err)}
	}
	f.baseline = sync.OnceValues(func() (baseline, error) { return findBaseline(ctx, r, lineage.ID(a.Model)) })
	return f, nil
}

// lookup is a name's value; see policy.TemplateNames.
func (f *facts) lookup(name string) (any, error) {
	switch name {
	case "model":
		return lineage.ID(f.a.Model).Name(), nil
	case "version":
		return lineage.ID(f.a.Model).Version(), nil
	case "workspace":
		return lineage.ID(f.a.Asset).Workspace(), nil
	case "monitor", "signal", "run":
		text, _ := f.inputs[name].(string)
		return text, nil
	case "breaches":
		list, _ := f.inputs[name].([]any)
		return list, nil
	case "metrics", "alert":
		m, _ := f.inputs[name].(map[string]any)
		return m, nil
	case "baseline":
		b, err := f.baseline()
		return b.about, err
	case "data":
		b, err := f.baseline()
		return b.data, err
	}
	return f.own(name)
}

// own is a field of the action itself.
func (f *facts) own(name string) (any, error) {
	fields := map[string]string{
		"window": f.a.Window, "event": f.a.Event, "action": f.a.ID, "key": f.a.Key, "policy": f.a.Policy,
		"asset": f.a.Asset, "title": f.a.Title, "reason": f.a.Reason,
	}
	text, ok := fields[name]
	if !ok {
		return nil, &policy.PermanentError{Err: fmt.Errorf("%s is not known", name)}
	}
	return text, nil
}

// findBaseline follows the lineage up: the version in service (or the one
// that the action names), the job that made it, the data that job read.
func findBaseline(ctx context.Context, r records, model lineage.ID) (baseline, error) {
	b := baseline{about: map[string]string{}, data: map[string]string{}}
	if r == nil {
		return b, &policy.PermanentError{Err: errors.New("there is no lineage to ask")}
	}
	version := model.Version()
	if version == "" && model != "" {
		name, err := loadAsset(ctx, r, model)
		if err != nil {
			return b, err
		}
		version = name.Text("serving")
	}
	if version == "" {
		return b, nil
	}
	b.about["version"] = version
	made, err := loadAsset(ctx, r, lineage.NewID(lineage.Model, model.Workspace(), model.Name(), version))
	if err != nil {
		return b, err
	}
	jobs := causes(made, lineage.Produced)
	if len(jobs) == 0 {
		return b, nil
	}
	b.about["run"] = jobs[0].Name()
	return b, b.read(ctx, r, jobs[0])
}

// read notes the data that a job read.
func (b *baseline) read(ctx context.Context, r records, job lineage.ID) error {
	doc, err := loadAsset(ctx, r, job)
	if err != nil {
		return err
	}
	for _, data := range causes(doc, lineage.Input) {
		if data.Version() != "" {
			b.data[data.Name()] = data.Version()
		}
	}
	return nil
}

// causes are the assets that edges of a type lead here from: of the edges
// that the document itself holds, which are the first 64.
func causes(a *lineage.Asset, t lineage.EdgeType) []lineage.ID {
	var out []lineage.ID
	for _, e := range a.Edges {
		if !e.Out && e.Type == t {
			out = append(out, e.Other)
		}
	}
	return out
}
