package cosmos_test

import (
	"context"
	"errors"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// client is the official SDK speaking to a server in the same goroutine.
func client(t testing.TB, s *cosmos.Server) *azcosmos.Client {
	t.Helper()
	return clientWithKey(t, s, s.Key())
}

func clientWithKey(t testing.TB, s *cosmos.Server, key string) *azcosmos.Client {
	t.Helper()
	cred, err := azcosmos.NewKeyCredential(key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := azcosmos.NewClientWithKey("https://account.test/", cred, options(s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func options(s *cosmos.Server) *azcosmos.ClientOptions {
	return &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: s.Transport(), Retry: policy.RetryOptions{MaxRetries: -1},
	}}
}

// open makes a server with a container and a client for it.
func open(t testing.TB, o cosmos.Options, co cosmos.ContainerOptions) (*cosmos.Server, *azcosmos.ContainerClient) {
	t.Helper()
	s := cosmos.New(o)
	s.CreateContainer("db", "items", co)
	ct, err := client(t, s).NewContainer("db", "items")
	if err != nil {
		t.Fatal(err)
	}
	return s, ct
}

var pk = azcosmos.NewPartitionKeyString

// status is the HTTP status of an SDK error, 0 for none.
func status(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var r *azcore.ResponseError
	if !errors.As(err, &r) {
		t.Fatalf("not an answer of the service: %v", err)
	}
	return r.StatusCode
}

// query reads all pages and returns the items and the number of pages.
func query(ctx context.Context, ct *azcosmos.ContainerClient, text string, key azcosmos.PartitionKey, o *azcosmos.QueryOptions) (items []string, pages int, err error) {
	pager := ct.NewQueryItemsPager(text, key, o)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return items, pages, err
		}
		pages++
		for _, it := range page.Items {
			items = append(items, string(it))
		}
	}
	return items, pages, nil
}

func TestItems(t *testing.T) {
	_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	ctx := t.Context()
	created, err := ct.CreateItem(ctx, pk("p"), []byte(`{"id":"a","pk":"p","n":1,"text":"<&>"}`), nil)
	if err != nil || created.ETag == "" || created.RequestCharge < 5 {
		t.Fatalf("create: %+v, %v", created, err)
	}
	read, err := ct.ReadItem(ctx, pk("p"), "a", nil)
	if err != nil || read.ETag != created.ETag || read.RequestCharge != 2 {
		t.Fatalf("read: %+v, %v", read, err)
	}
	if _, err := ct.ReadItem(ctx, pk("q"), "a", nil); status(t, err) != 404 {
		t.Errorf("another partition: %v", err)
	}
	if _, err := ct.CreateItem(ctx, pk("p"), []byte(`{"id":"a","pk":"p"}`), nil); status(t, err) != 409 {
		t.Errorf("create again: %v", err)
	}
	replaced, err := ct.ReplaceItem(ctx, pk("p"), "a", []byte(`{"id":"a","pk":"p","n":2}`), &azcosmos.ItemOptions{IfMatchEtag: &created.ETag})
	if err != nil || replaced.ETag == created.ETag {
		t.Fatalf("replace: %+v, %v", replaced, err)
	}
	if _, err := ct.ReplaceItem(ctx, pk("p"), "a", []byte(`{"id":"a","pk":"p"}`), &azcosmos.ItemOptions{IfMatchEtag: &created.ETag}); status(t, err) != 412 {
		t.Errorf("replace with an old ETag: %v", err)
	}
	items, _, err := query(ctx, ct, "SELECT c.id, c.n FROM c WHERE c.n >= 2 ORDER BY c.n DESC", pk("p"), nil)
	if err != nil || len(items) != 1 || items[0] != `{"id":"a","n":2}` {
		t.Errorf("query: %v, %v", items, err)
	}
	if _, err := ct.DeleteItem(ctx, pk("p"), "a", nil); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := ct.DeleteItem(ctx, pk("p"), "a", nil); status(t, err) != 404 {
		t.Errorf("delete again: %v", err)
	}
}
