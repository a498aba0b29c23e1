package policy_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	var doc any
	if err := json.Unmarshal(policy.Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is what an editor hands to a schema: the document as plain values.
func asJSON(t testing.TB, text string) any {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchemaAcceptsEveryValidExample(t *testing.T) {
	s := compileSchema(t)
	for name, text := range files(t, "valid") {
		if name == "empty.yaml" {
			continue // a document without content is no JSON
		}
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefusesEveryMistakeOfShape(t *testing.T) {
	s := compileSchema(t)
	for name, text := range files(t, "invalid") {
		if err := s.Validate(asJSON(t, text)); err == nil {
			t.Errorf("%s: the schema has nothing against it", name)
		}
	}
}

// The schema and the structs name the same keys everywhere.
func TestSchemaHasTheFieldsOfTheStructs(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(policy.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	w := schemaWalk{t: t, root: root, seen: map[reflect.Type]bool{}}
	w.check("$", reflect.TypeFor[policy.File](), root)
	if len(w.seen) < 15 {
		t.Errorf("looked at %d structs only", len(w.seen))
	}
}

type schemaWalk struct {
	t    *testing.T
	root map[string]any
	seen map[reflect.Type]bool
}

func (w schemaWalk) resolve(node map[string]any) map[string]any {
	for node["$ref"] != nil {
		name := strings.TrimPrefix(node["$ref"].(string), "#/$defs/")
		node = w.root["$defs"].(map[string]any)[name].(map[string]any)
	}
	return node
}

func (w schemaWalk) check(path string, t reflect.Type, node map[string]any) {
	node = w.resolve(node)
	switch {
	case t.Kind() == reflect.Pointer:
		w.check(path, t.Elem(), node)
	case t == reflect.TypeFor[policy.Moment]() || t == reflect.TypeFor[policy.Patterns]():
	case t.Kind() == reflect.Slice && node["items"] != nil:
		w.check(path+"[]", t.Elem(), node["items"].(map[string]any))
	case t.Kind() == reflect.Map:
		w.check(path+".*", t.Elem(), node["additionalProperties"].(map[string]any))
	case t.Kind() == reflect.Struct:
		w.structure(path, t, node)
	}
}

func (w schemaWalk) structure(path string, t reflect.Type, node map[string]any) {
	w.seen[t] = true
	fields := map[string]reflect.Type{}
	yamlFields(w.t, t, fields)
	props, _ := node["properties"].(map[string]any)
	for name := range props {
		if fields[name] == nil {
			w.t.Errorf("%s.%s is in the schema, not in %s", path, name, t)
		}
	}
	for name, ft := range fields {
		if props[name] == nil {
			w.t.Errorf("%s.%s is in %s, not in the schema", path, name, t)
			continue
		}
		w.check(path+"."+name, ft, props[name].(map[string]any))
	}
	if node["additionalProperties"] != false {
		w.t.Errorf("%s: the schema lets unknown keys pass", path)
	}
}

func yamlFields(t *testing.T, typ reflect.Type, out map[string]reflect.Type) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			yamlFields(t, f.Type, out)
			continue
		}
		if jsonName, _, _ := strings.Cut(f.Tag.Get("json"), ","); jsonName != name {
			t.Errorf("%s.%s is %q in YAML and %q in JSON", typ, f.Name, name, jsonName)
		}
		out[name] = f.Type
	}
}

func TestSchemaKnowsEveryEventKind(t *testing.T) {
	var doc struct {
		Defs struct {
			EventKind struct {
				Enum []event.Kind `json:"enum"`
			} `json:"eventKind"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(policy.Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(doc.Defs.EventKind.Enum, event.Kinds()) {
		t.Errorf("the schema has %v, events are %v", doc.Defs.EventKind.Enum, event.Kinds())
	}
}
