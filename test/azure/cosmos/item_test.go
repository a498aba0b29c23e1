package cosmos_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/modelwarden/modelwarden/test/azure/cosmos"
)

func TestItemsThatAreRefused(t *testing.T) {
	_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{DefaultTTL: -1})
	quoted, err := json.Marshal(strings.Repeat("x", 2<<20))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		item string
		want int
	}{
		"no id":             {`{"pk":"p"}`, 400},
		"a number as id":    {`{"id":1,"pk":"p"}`, 400},
		"a slash":           {`{"id":"a/b","pk":"p"}`, 400},
		"a backslash":       {`{"id":"a\\b","pk":"p"}`, 400},
		"a question mark":   {`{"id":"a?","pk":"p"}`, 400},
		"a hash":            {`{"id":"#","pk":"p"}`, 400},
		"a long id":         {`{"id":"` + strings.Repeat("é", 512) + `","pk":"p"}`, 400},
		"the longest id":    {`{"id":"` + strings.Repeat("x", 1023) + `","pk":"p"}`, 0},
		"another partition": {`{"id":"a","pk":"q"}`, 400},
		"no partition":      {`{"id":"a"}`, 400},
		"an object as key":  {`{"id":"a","pk":{}}`, 400},
		"no ttl":            {`{"id":"a","pk":"p","ttl":0}`, 400},
		"a list":            {`[]`, 400},
		"two values":        {`{"id":"a","pk":"p"} {}`, 400},
		"half a value":      {`{"id":"a","pk":"p"`, 400},
		"not UTF-8":         {"{\"id\":\"a\xff\",\"pk\":\"p\"}", 400},
		"too large":         {`{"id":"a","pk":"p","x":` + string(quoted) + `}`, 413},
	} {
		if _, err := ct.UpsertItem(t.Context(), pk("p"), []byte(c.item), nil); status(t, err) != c.want {
			t.Errorf("%s: %v, want %d", name, err, c.want)
		}
	}
}

// TestItemsComeBackWhole: properties in order and as they were, but for the
// service's own.
func TestItemsComeBackWhole(t *testing.T) {
	_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	const sent = `{"z":1.50,"id":"a", "pk":"p","_etag":"mine","text":"<&>\u2028","n":12345678901234567890,"list":[ 1, {"b":null}]}`
	created, err := ct.CreateItem(t.Context(), pk("p"), []byte(sent), &azcosmos.ItemOptions{EnableContentResponseOnWrite: true})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"z":1.50,"id":"a","pk":"p","text":"<&>\u2028","n":12345678901234567890,"list":[1,{"b":null}],"_rid":`
	if got := string(created.Value); !strings.HasPrefix(got, want) || strings.Contains(got, "mine") || !strings.Contains(got, `"_ts":`) {
		t.Errorf("got %s", got)
	}
	silent, err := ct.UpsertItem(t.Context(), pk("p"), []byte(sent), nil)
	if err != nil || len(silent.Value) != 0 || silent.ETag == created.ETag {
		t.Errorf("return=minimal: %+v, %v", silent, err)
	}
}

func TestConditionalRequests(t *testing.T) {
	_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	if _, err := ct.CreateItem(t.Context(), pk("p"), []byte(`{"id":"a","pk":"p"}`), nil); err != nil {
		t.Fatal(err)
	}
	any, none := azcore.ETagAny, azcore.ETag(`"x"`)
	if _, err := ct.DeleteItem(t.Context(), pk("p"), "a", &azcosmos.ItemOptions{IfMatchEtag: &none}); status(t, err) != 412 {
		t.Errorf("delete of another version: %v", err)
	}
	if _, err := ct.ReplaceItem(t.Context(), pk("p"), "b", []byte(`{"id":"b","pk":"p"}`), &azcosmos.ItemOptions{IfMatchEtag: &any}); status(t, err) != 404 {
		t.Errorf("replace of nothing: %v", err)
	}
	if _, err := ct.DeleteItem(t.Context(), pk("p"), "a", &azcosmos.ItemOptions{IfMatchEtag: &any}); err != nil {
		t.Errorf("delete of any version: %v", err)
	}
}

// TestPartitionKeys keeps values of all types apart.
func TestPartitionKeys(t *testing.T) {
	_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{PartitionKey: "/owner/name"})
	keys := map[string]azcosmos.PartitionKey{
		`"1"`: pk("1"), `1`: azcosmos.NewPartitionKeyNumber(1), `true`: azcosmos.NewPartitionKeyBool(true), `null`: azcosmos.NullPartitionKey, `"true"`: pk("true"), `"é\n"`: pk("é\n"),
	}
	for value, key := range keys {
		if _, err := ct.CreateItem(t.Context(), key, []byte(`{"id":"a","owner":{"name":`+value+`}}`), nil); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
	for value, key := range keys {
		items, _, err := query(t.Context(), ct, "SELECT VALUE c.owner.name FROM c", key, nil)
		if err != nil || len(items) != 1 || items[0] != value {
			t.Errorf("%s: %v, %v", value, items, err)
		}
	}
	if _, err := ct.CreateItem(t.Context(), azcosmos.NewPartitionKey(), []byte(`{"id":"a","owner":{"name":"x"}}`), nil); status(t, err) != 400 {
		t.Errorf("without a key: %v", err)
	}
}

func TestTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{DefaultTTL: 60})
		for id, ttl := range map[string]string{"default": "", "short": `,"ttl":10`, "never": `,"ttl":-1`} {
			if _, err := ct.CreateItem(t.Context(), pk("p"), []byte(`{"id":"`+id+`","pk":"p"`+ttl+`}`), nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range []struct {
			sleep time.Duration
			left  int
		}{{9 * time.Second, 3}, {time.Second, 2}, {49 * time.Second, 2}, {time.Second, 1}, {1000 * time.Hour, 1}} {
			time.Sleep(step.sleep)
			if items, _, err := query(t.Context(), ct, "SELECT * FROM c", pk("p"), nil); err != nil || len(items) != step.left {
				t.Errorf("%d items, want %d, %v", len(items), step.left, err)
			}
		}
		if _, err := ct.CreateItem(t.Context(), pk("p"), []byte(`{"id":"short","pk":"p"}`), nil); err != nil {
			t.Errorf("the id of what expired: %v", err)
		}
		if _, err := ct.DeleteItem(t.Context(), pk("p"), "default", nil); status(t, err) != 404 {
			t.Errorf("delete of what expired: %v", err)
		}
	})
}

func TestBatches(t *testing.T) {
	_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	ctx := t.Context()
	item := func(id string, n int) []byte { return []byte(fmt.Sprintf(`{"id":%q,"pk":"p","n":%d}`, id, n)) }
	b := ct.NewTransactionalBatch(pk("p"))
	b.CreateItem(item("a", 1), nil)
	b.UpsertItem(item("b", 1), nil)
	b.ReadItem("a", nil)
	first, err := ct.ExecuteTransactionalBatch(ctx, b, nil)
	if err != nil || !first.Success || len(first.OperationResults) != 3 || first.OperationResults[2].StatusCode != 200 || !strings.Contains(string(first.OperationResults[2].ResourceBody), `"n":1`) {
		t.Fatalf("%+v, %v", first, err)
	}
	old := azcore.ETag(`"old"`)
	b = ct.NewTransactionalBatch(pk("p"))
	b.DeleteItem("a", &azcosmos.TransactionalBatchItemOptions{IfMatchETag: &first.OperationResults[0].ETag})
	b.CreateItem(item("c", 1), nil)
	b.ReplaceItem("b", item("b", 2), &azcosmos.TransactionalBatchItemOptions{IfMatchETag: &old})
	b.CreateItem(item("d", 1), nil)
	failed, err := ct.ExecuteTransactionalBatch(ctx, b, nil)
	if err != nil || failed.Success {
		t.Fatalf("%+v, %v", failed, err)
	}
	for i, want := range []int32{424, 424, 412, 424} {
		if got := failed.OperationResults[i].StatusCode; got != want {
			t.Errorf("operation %d: %d, want %d", i, got, want)
		}
	}
	items, _, err := query(ctx, ct, "SELECT c.id, c.n, c._etag FROM c ORDER BY c.id", pk("p"), nil)
	if err != nil || len(items) != 2 || !strings.Contains(items[0], `"id":"a"`) || !strings.Contains(items[0], strings.Trim(string(first.OperationResults[0].ETag), `"`)) || !strings.Contains(items[1], `"n":1`) {
		t.Errorf("after the failed batch: %v, %v", items, err)
	}
}

func TestBatchesThatAreRefused(t *testing.T) {
	_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	many, large := ct.NewTransactionalBatch(pk("p")), ct.NewTransactionalBatch(pk("p"))
	for i := range 101 {
		many.CreateItem([]byte(fmt.Sprintf(`{"id":"%d","pk":"p"}`, i)), nil)
	}
	for i := range 3 {
		large.CreateItem([]byte(fmt.Sprintf(`{"id":"%d","pk":"p","x":"%s"}`, i, strings.Repeat("x", 700<<10))), nil)
	}
	patch := ct.NewTransactionalBatch(pk("p"))
	patch.PatchItem("a", azcosmos.PatchOperations{}, nil)
	for name, c := range map[string]struct {
		batch azcosmos.TransactionalBatch
		want  int
	}{"101 operations": {many, 400}, "more than 2 MiB": {large, 413}, "a patch": {patch, 400}} {
		if _, err := ct.ExecuteTransactionalBatch(t.Context(), c.batch, nil); status(t, err) != c.want {
			t.Errorf("%s: %v, want %d", name, err, c.want)
		}
	}
	if items, _, err := query(t.Context(), ct, "SELECT * FROM c", pk("p"), nil); err != nil || len(items) != 0 {
		t.Errorf("%d items were written, %v", len(items), err)
	}
}
