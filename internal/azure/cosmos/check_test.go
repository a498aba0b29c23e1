package cosmos_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/azure/cosmos"
	"github.com/modelwarden/modelwarden/internal/lineage"
	server "github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// jwt is what identity hands out.
const jwt = "eyJ.this-must-not-be-seen.sig"

// identity is a credential of Entra ID.
type identity struct{}

func (identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: jwt, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// account is a server that knows the identity, as a reader or as more.
func account(readOnly bool) server.Options {
	return server.Options{Token: func(token string) (bool, error) {
		if token != jwt {
			return false, errors.New("unknown")
		}
		return readOnly, nil
	}}
}

func openStore(t *testing.T, o cosmos.Options) *cosmos.Store {
	t.Helper()
	s, err := cosmos.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func optionsOf(srv *server.Server) cosmos.Options {
	return cosmos.Options{Endpoint: "https://contoso.documents.azure.com/", Key: srv.Key(), Transport: srv.Transport()}
}

// mentions checks an error for what an operator needs to read.
func mentions(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q is missing in: %v", p, err)
		}
	}
}

func TestProvision(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := server.New(server.Options{})
		s := openStore(t, optionsOf(srv))
		mentions(t, s.Check(t.Context()), "404", "does not exist", "modelwarden/records", "https://contoso.documents.azure.com/", "modelwarden init")
		mentions(t, s.Healthy(t.Context()), "404", "does not exist")
		for range 2 {
			if err := s.Provision(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(s.Check(t.Context()), s.Healthy(t.Context())); err != nil {
			t.Fatal(err)
		}
		got, err := sdk(t, &harness{server: srv}).Read(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		p := got.ContainerProperties
		policy, _ := json.Marshal(p.IndexingPolicy)
		const want = `{"automatic":true,"indexingMode":"consistent","includedPaths":[{"path":"/pk/?"},{"path":"/o/?"}],"excludedPaths":[{"path":"/*"}]}`
		if string(policy) != want || *p.DefaultTimeToLive != -1 || p.PartitionKeyDefinition.Paths[0] != "/pk" || p.PartitionKeyDefinition.Version != 2 {
			t.Errorf("created was %+v, indexing %s", p, policy)
		}
	})
}

func TestProvisionByIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := server.New(account(false))
		o := optionsOf(srv)
		o.Key, o.Credential, o.Database, o.Container = "", identity{}, "lineage", "all"
		s := openStore(t, o)
		mentions(t, s.Provision(t.Context()), "403", "infra/", "az cosmosdb sql database create -g GROUP -a contoso -n lineage",
			"az cosmosdb sql container create -g GROUP -a contoso -d lineage -n all -p /pk --partition-key-version 2 --ttl -1 --idx", `{"path":"/o/?"}`)
		srv.CreateContainer("lineage", "all", containerOptions)
		if err := errors.Join(s.Provision(t.Context()), s.Check(t.Context())); err != nil {
			t.Errorf("with the container there: %v", err)
		}
	})
}

func TestCheckFindsFaults(t *testing.T) {
	for name, c := range map[string]struct {
		container server.ContainerOptions
		want      []string
	}{
		"partition key": {server.ContainerOptions{PartitionKey: "/id", DefaultTTL: -1}, []string{`"/id"`, `"/pk"`, "create another"}},
		"no ttl":        {server.ContainerOptions{}, []string{"time to live", "--ttl -1"}},
		"a default ttl": {server.ContainerOptions{DefaultTTL: 60}, []string{"time to live", "--ttl -1"}},
		"no order":      {server.ContainerOptions{DefaultTTL: -1, IncludedPaths: []string{"/pk/?"}}, []string{"leaves out /o/?", `"includedPaths"`}},
		"several":       {server.ContainerOptions{PartitionKey: "/x", IncludedPaths: []string{}}, []string{`"/x"`, "time to live", "/pk/?", "/o/?"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				srv := server.New(server.Options{})
				srv.CreateContainer("modelwarden", "records", c.container)
				mentions(t, openStore(t, optionsOf(srv)).Check(t.Context()), append(c.want, "modelwarden/records")...)
			})
		})
	}
}

func TestCheckAcceptsMoreThanItNeeds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := server.New(server.Options{Consistency: "BoundedStaleness"})
		srv.CreateContainer("modelwarden", "records", server.ContainerOptions{DefaultTTL: -1})
		if err := openStore(t, optionsOf(srv)).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCheckOfConsistency(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := server.New(server.Options{Consistency: "Session"})
		srv.CreateContainer("modelwarden", "records", containerOptions)
		mentions(t, openStore(t, optionsOf(srv)).Check(t.Context()), "Session", "could miss a record", "--default-consistency-level Strong", "-n contoso")
	})
}

func TestCheckOfRights(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := server.New(account(true))
		srv.CreateContainer("modelwarden", "records", containerOptions)
		reader, stranger, wrong := optionsOf(srv), optionsOf(server.New(server.Options{})), optionsOf(srv)
		reader.Key, reader.Credential = "", identity{}
		stranger.Key, stranger.Credential = "", identity{}
		wrong.Key = "d3Jvbmc="
		mentions(t, openStore(t, reader).Check(t.Context()), "403", "Cosmos DB Built-in Data Contributor", "-a contoso", "/dbs/modelwarden/colls/records")
		mentions(t, openStore(t, stranger).Check(t.Context()), "401", "tenant")
		mentions(t, openStore(t, wrong).Check(t.Context()), "401", "the key is not this account's")
	})
}

func TestCheckLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := openHarness(t, server.Options{})
		if err := h.store.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		page, err := h.store.List(t.Context(), lineage.Query{Partition: "modelwarden/check"})
		if err != nil || len(page.Records) != 0 {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for name, o := range map[string]cosmos.Options{
		"no endpoint":         {Key: "a2V5"},
		"no address":          {Endpoint: "contoso.documents.azure.com", Key: "a2V5"},
		"a key in the clear":  {Endpoint: "http://contoso.documents.azure.com", Key: "a2V5"},
		"a password":          {Endpoint: "https://u:a2V5@contoso.documents.azure.com", Key: "a2V5"},
		"a connection string": {Endpoint: "https://contoso.documents.azure.com:443/;AccountKey=a2V5", Key: "a2V5"},
		"a key in a query":    {Endpoint: "https://contoso.documents.azure.com/?key=a2V5", Key: "a2V5"},
		"no way to sign in":   {Endpoint: "https://contoso.documents.azure.com"},
		"two ways to sign in": {Endpoint: "https://contoso.documents.azure.com", Key: "a2V5", Credential: identity{}},
		"a key not in base64": {Endpoint: "https://contoso.documents.azure.com", Key: "not base64!"},
	} {
		if s, err := cosmos.Open(o); err == nil {
			_ = s.Close()
			t.Errorf("%s was accepted", name)
		} else if o.Key != "" && strings.Contains(err.Error(), o.Key) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
	for _, endpoint := range []string{"https://contoso.documents.azure.com", "http://127.0.0.1:8081", "http://localhost:8081/", "http://[::1]:8081"} {
		if s, err := cosmos.Open(cosmos.Options{Endpoint: endpoint, Key: "a2V5"}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		} else {
			_ = s.Close()
		}
	}
}

// TestSecretsStayIn provokes every kind of error and looks for the key and
// the token in it and in the log.
func TestSecretsStayIn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		core, logged := observer.New(zap.DebugLevel)
		faults := &server.Faults{}
		opts := account(true)
		opts.Faults = faults
		srv := server.New(opts)
		srv.CreateContainer("modelwarden", "records", containerOptions)
		byKey, byToken := optionsOf(srv), optionsOf(srv)
		byToken.Key, byToken.Credential = "", identity{}
		wrong := byKey
		wrong.Key = "c2VjcmV0IHNlY3JldA=="
		for _, o := range []cosmos.Options{byKey, byToken, wrong} {
			o.Logger = zap.New(core)
			s := openStore(t, o)
			for _, f := range []server.Fault{{}, {Status: 400}, {Status: 401}, {Status: 403}, {Status: 500}, {Status: 503}, {Drop: true}, {Delay: time.Hour}} {
				faults.Add(f, f, f)
				_, commit := s.Commit(t.Context(), "p", []lineage.Change{record(lineage.Create, "a", "1", "")})
				_, get := s.Get(t.Context(), "p", "a", "b")
				_, list := s.List(t.Context(), lineage.Query{Partition: "p"})
				for _, err := range []error{commit, get, list, s.Check(t.Context()), s.Provision(t.Context()), s.Healthy(t.Context())} {
					if err != nil && leaks(err.Error(), o.Key) {
						t.Errorf("a secret shows: %v", err)
					}
				}
			}
		}
		for _, e := range logged.All() {
			line, _ := json.Marshal(e.ContextMap())
			if leaks(string(line), srv.Key(), wrong.Key) {
				t.Errorf("a secret is in the log: %s", line)
			}
		}
		if logged.Len() == 0 {
			t.Error("nothing was logged")
		}
	})
}

func leaks(text string, keys ...string) bool {
	for _, secret := range append(keys, jwt, "sig=", "sig%3D", "type=master") {
		if secret != "" && strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

// TestChargesAddUp compares what was reported with what the server took,
// failed and repeated requests included.
func TestChargesAddUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		faults := &server.Faults{Only: func(op server.Operation, _ *http.Request) bool { return op != server.ReadAccount }}
		srv := server.New(server.Options{Faults: faults})
		srv.CreateContainer("modelwarden", "records", containerOptions)
		var mu sync.Mutex
		units := map[string]float64{}
		o := optionsOf(srv)
		o.Charge = func(operation string, requestUnits float64) {
			mu.Lock()
			defer mu.Unlock()
			units[operation] += requestUnits
		}
		s := openStore(t, o)
		h := &harness{server: srv, store: s}
		h.commit(t, record(lineage.Create, "a", "1", ""), record(lineage.Create, "b", "1", ""))
		faults.Add(server.Fault{Status: 449})
		if _, err := s.Commit(t.Context(), "p", []lineage.Change{record(lineage.Create, "a", "1", "")}); !errors.Is(err, lineage.ErrExists) {
			t.Fatal(err)
		}
		h.get(t, "a")
		h.get(t, "none")
		if _, err := s.List(t.Context(), lineage.Query{Partition: "p"}); err != nil {
			t.Fatal(err)
		}
		stats := srv.Stats()
		for op, of := range map[string]server.Operation{"commit": server.Batch, "get": server.ReadItem, "list": server.Query} {
			if want := stats[of].RequestUnits; want <= 0 || math.Abs(units[op]-want) > 0.02 {
				t.Errorf("%s: reported %.2f, taken %.2f", op, units[op], want)
			}
		}
		if len(units) != 3 {
			t.Errorf("operations %v", units)
		}
	})
}
