package policy

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of the policy part of a
// configuration, for editors and pipelines. It checks shape and spelling;
// what needs more (names that exist, conditions that compile) Parse checks.
func Schema() []byte { return slices.Clone(schema) }
