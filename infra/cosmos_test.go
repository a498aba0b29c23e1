package infra_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/azure/cosmos"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// transporter carries the SDK's requests.
type transporter interface {
	Do(*http.Request) (*http.Response, error)
}

// recorder keeps the bodies of the requests that create something.
type recorder struct {
	transporter
	created map[string][]byte // by path
}

func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		r.created[req.URL.Path] = body
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	return r.transporter.Do(req)
}

func openStore(t *testing.T, s *server.Server, transport transporter) *cosmos.Store {
	t.Helper()
	store, err := cosmos.Open(cosmos.Options{Endpoint: "https://account.test/", Key: s.Key(), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// containerJSON is a container as the REST API has it. Terraform has the same
// below resource.
type containerJSON struct {
	ID           string `json:"id"`
	DefaultTTL   *int   `json:"defaultTtl"`
	PartitionKey struct {
		Paths   []string `json:"paths"`
		Kind    string   `json:"kind"`
		Version int      `json:"version"`
	} `json:"partitionKey"`
	Indexing struct {
		Mode      string     `json:"indexingMode"`
		Automatic bool       `json:"automatic"`
		Included  []pathJSON `json:"includedPaths"`
		Excluded  []pathJSON `json:"excludedPaths"`
	} `json:"indexingPolicy"`
}

type pathJSON struct {
	Path string `json:"path"`
}

// TestContainerIsTheOneTheServiceMakes compares with what the store asks
// Cosmos DB for where it may create the container itself.
func TestContainerIsTheOneTheServiceMakes(t *testing.T) {
	s := server.New(server.Options{})
	r := &recorder{s.Transport(), map[string][]byte{}}
	if err := openStore(t, s, r).Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := readContract(t)
	var got containerJSON
	if err := json.Unmarshal(r.created["/dbs/"+c.DatabaseName+"/colls"], &got); err != nil {
		t.Fatalf("no container was created in %q, but %q: %v", c.DatabaseName, slices.Collect(maps.Keys(r.created)), err)
	}
	// The SDK writes Consistent, Azure gives it back as consistent.
	got.Indexing.Mode = strings.ToLower(got.Indexing.Mode)
	var want containerJSON
	want.ID, want.DefaultTTL = c.ContainerName, &c.DefaultTTL
	want.PartitionKey.Paths, want.PartitionKey.Version = []string{c.PartitionKeyPath}, c.PartitionKeyVersion
	want.PartitionKey.Kind, want.Indexing.Mode, want.Indexing.Automatic = "Hash", "consistent", true
	want.Indexing.Included, want.Indexing.Excluded = paths(c.IndexedPaths), paths(c.UnindexedPaths)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the service makes\n%+v\ncontract.tf says\n%+v", got, want)
	}
	terraform := strings.Join(strings.Fields(read(t, "cosmos.tf")), " ")
	for _, setting := range []string{`kind = "Hash"`, `indexingMode = "consistent"`, `automatic = true`} {
		if !strings.Contains(terraform, setting) {
			t.Errorf("cosmos.tf does not say %s", setting)
		}
	}
}

func paths(list []string) (out []pathJSON) {
	for _, p := range list {
		out = append(out, pathJSON{p})
	}
	return out
}

// TestConsistencyIsWhatTheServiceAccepts tries all levels that there are, with
// a container as Terraform makes it.
func TestConsistencyIsWhatTheServiceAccepts(t *testing.T) {
	c := readContract(t)
	for _, level := range []string{"Strong", "BoundedStaleness", "Session", "ConsistentPrefix", "Eventual"} {
		s := server.New(server.Options{Consistency: level})
		s.CreateContainer(c.DatabaseName, c.ContainerName, server.ContainerOptions{
			PartitionKey: c.PartitionKeyPath, DefaultTTL: c.DefaultTTL, IncludedPaths: c.IndexedPaths,
		})
		err := openStore(t, s, s.Transport()).Check(t.Context())
		if offered := slices.Contains(c.ConsistencyLevels, level); offered != (err == nil) {
			t.Errorf("%s: Terraform offers it: %v; the service says: %v", level, offered, err)
		}
	}
}
