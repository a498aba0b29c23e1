package effect_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var publishedSchemas sync.Map // of *jsonschema.Schema, by file and definition

// publishedSchema is a product's published schema, or one definition of it.
func publishedSchema(t testing.TB, file, def string) *jsonschema.Schema {
	t.Helper()
	ref := file
	if def != "" {
		ref += "#/$defs/" + def
	}
	if s, ok := publishedSchemas.Load(ref); ok {
		return s.(*jsonschema.Schema)
	}
	f, err := os.Open(filepath.Join("testdata", "schemas", file))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(file, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(ref)
	if err != nil {
		t.Fatal(err)
	}
	publishedSchemas.Store(ref, s)
	return s
}

// conforms checks a document and reads it.
func conforms(s *jsonschema.Schema, doc []byte, into any) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	if err := s.Validate(v); err != nil {
		return err
	}
	return json.Unmarshal(doc, into)
}
