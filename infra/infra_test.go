// Package infra_test holds the Terraform to the service: what both take for
// granted must be the same on both sides.
package infra_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azsystemevents"

	"github.com/modelwarden/modelwarden/internal/event"
)

// contract is the locals of contract.tf. Decoding is strict both ways: a local
// that is new, gone or misspelt fails every test.
type contract struct {
	QueueName           string   `json:"queue_name"`
	DatabaseName        string   `json:"database_name"`
	ContainerName       string   `json:"container_name"`
	PartitionKeyPath    string   `json:"partition_key_path"`
	PartitionKeyVersion int      `json:"partition_key_version"`
	DefaultTTL          int      `json:"default_ttl"`
	IndexedPaths        []string `json:"indexed_paths"`
	UnindexedPaths      []string `json:"unindexed_paths"`
	ConsistencyLevels   []string `json:"consistency_levels"`
	EventTypePrefix     string   `json:"event_type_prefix"`
	EventTypes          []string `json:"event_types"`
}

// literal is a local on one line. Its value, a literal without interpolation,
// is JSON as well.
var literal = regexp.MustCompile(`(?m)^  (\w+) += (.+)$`)

func readContract(t *testing.T) (c contract) {
	t.Helper()
	locals := map[string]json.RawMessage{}
	for _, m := range literal.FindAllStringSubmatch(read(t, "contract.tf"), -1) {
		locals[m[1]] = json.RawMessage(m[2])
	}
	text, err := json.Marshal(locals)
	if err != nil {
		t.Fatalf("contract.tf: a local is not a plain literal: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("contract.tf: %v", err)
	}
	for i, v := 0, reflect.ValueOf(c); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("contract.tf: no %s", v.Type().Field(i).Tag.Get("json"))
		}
	}
	return c
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEventTypesAreThoseTheServiceReads holds the filter against Azure's list
// and against the parser: too few types would lose events, too many are noise.
func TestEventTypesAreThoseTheServiceReads(t *testing.T) {
	c := readContract(t)
	azure := []string{
		azsystemevents.TypeMachineLearningServicesModelRegistered, azsystemevents.TypeMachineLearningServicesModelDeployed,
		azsystemevents.TypeMachineLearningServicesRunCompleted, azsystemevents.TypeMachineLearningServicesRunStatusChanged,
		azsystemevents.TypeMachineLearningServicesDatasetDriftDetected,
	}
	reader, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	var subscribed []string
	for _, name := range c.EventTypes {
		typ := c.EventTypePrefix + name
		subscribed = append(subscribed, typ)
		e, err := reader.Parse(event.Envelope{
			ID: "1", Type: typ, Data: json.RawMessage("{}"),
			Source: "/subscriptions/S/resourceGroups/G/providers/Microsoft.MachineLearningServices/workspaces/w",
		})
		if err == nil && e.Kind == event.Unknown {
			t.Errorf("the service does not read %s", typ)
		}
	}
	slices.Sort(azure)
	slices.Sort(subscribed)
	if !slices.Equal(azure, subscribed) {
		t.Errorf("Azure ML sends %q, subscribed are %q", azure, subscribed)
	}
}

// TestQueueIsTheDefault finds the queue's name where the service sets it.
func TestQueueIsTheDefault(t *testing.T) {
	want := []string{readContract(t).QueueName}
	if got := defaultsOf(t, "../internal/app", "Queue"); !slices.Equal(got, want) {
		t.Errorf("the service's default is %q, contract.tf says %q", got, want)
	}
}

// defaultsOf are the strings that a package's code assigns to a field.
func defaultsOf(t *testing.T, dir, field string) (values []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := assigned(n, field); ok {
				values = append(values, v)
			}
			return true
		})
	}
	return values
}

// assigned is the literal of `something.field = "literal"`.
func assigned(n ast.Node, field string) (value string, ok bool) {
	a, ok := n.(*ast.AssignStmt)
	if !ok || len(a.Lhs) != 1 || len(a.Rhs) != 1 {
		return "", false
	}
	left, isField := a.Lhs[0].(*ast.SelectorExpr)
	right, isLiteral := a.Rhs[0].(*ast.BasicLit)
	if !isField || !isLiteral || left.Sel.Name != field || right.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(right.Value)
	return value, err == nil
}
