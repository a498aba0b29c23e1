// Package infra_test holds the Terraform to the service: what both take for
// granted must be the same on both sides.
package infra_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azsystemevents"

	"github.com/modelwarden/modelwarden/internal/app"
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

func TestQueueIsTheDefault(t *testing.T) {
	if got := readContract(t).QueueName; got != app.DefaultQueue {
		t.Errorf("contract.tf says %q, the service's default is %q", got, app.DefaultQueue)
	}
}
