package cosmos_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// zoo is a partition with a bit of everything.
func zoo(t *testing.T, o cosmos.Options, co cosmos.ContainerOptions) (*cosmos.Server, *azcosmos.ContainerClient) {
	t.Helper()
	s, ct := open(t, o, co)
	for _, item := range []string{
		`{"id":"a","pk":"p","n":1,"s":"apple","tags":["x","y"],"sub":{"k":"v"},"t":true}`,
		`{"id":"b","pk":"p","n":2,"s":"apricot","tags":[],"t":false}`,
		`{"id":"c","pk":"p","n":10,"s":"Banana","x":null}`,
		`{"id":"d","pk":"p","s":"é\"'"}`,
		`{"id":"e","pk":"p","n":"1","s":"zebra"}`,
	} {
		if _, err := ct.CreateItem(t.Context(), pk("p"), []byte(item), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ct.CreateItem(t.Context(), pk("q"), []byte(`{"id":"f","pk":"q","n":1}`), nil); err != nil {
		t.Fatal(err)
	}
	return s, ct
}

func TestQueries(t *testing.T) {
	_, ct := zoo(t, cosmos.Options{}, cosmos.ContainerOptions{CompositeIndexes: [][]string{{"/t", "/n desc"}}})
	parameters := []azcosmos.QueryParameter{{Name: "@n", Value: 2}, {Name: "@s", Value: "ap"}, {Name: "@list", Value: []string{"a", "d"}}, {Name: "@null", Value: nil}}
	for text, want := range map[string]string{
		"SELECT VALUE c.id FROM c":                                                    "a b c d e",
		"select value c.id from items as c where c.n = 1":                             "a",
		"SELECT VALUE r.id FROM r WHERE r.n >= @n":                                    "b c",
		"SELECT VALUE c.id FROM c WHERE c.n < 2 OR c.n > 2":                           "a c",
		"SELECT VALUE c.id FROM c WHERE c.n != 1":                                     "b c", // other types are undefined
		"SELECT VALUE c.id FROM c WHERE c.n <> 1 AND NOT c.n = 10":                    "b",
		"SELECT VALUE c.id FROM c WHERE NOT (c.n = 1)":                                "b c",
		"SELECT VALUE c.id FROM c WHERE c.n = 1 OR c.none = 1":                        "a",
		"SELECT VALUE c.id FROM c WHERE STARTSWITH(c.s, @s)":                          "a b",
		"SELECT VALUE c.id FROM c WHERE startswith(c.s, 'BA', true)":                  "c",
		"SELECT VALUE c.id FROM c WHERE ENDSWITH(c.s, 'e') OR CONTAINS(c.s, 'bra')":   "a e",
		"SELECT VALUE c.id FROM c WHERE c.s > 'a' AND c.s < 'b'":                      "a b",
		"SELECT VALUE c.id FROM c WHERE c.s BETWEEN 'apple' AND \"apricot\"":          "a b",
		"SELECT VALUE c.id FROM c WHERE c.s >= 'é'":                                   "d",
		`SELECT VALUE c.id FROM c WHERE c.s = "\u00e9\"'"`:                            "d",
		"SELECT VALUE c.id FROM c WHERE c.id IN ('c', 'a', @s)":                       "a c",
		"SELECT VALUE c.id FROM c WHERE c.id NOT IN ('c', 'a')":                       "b d e",
		"SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(@list, c.id)":                  "a d",
		"SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.tags, 'y')":                  "a",
		"SELECT VALUE c.id FROM c WHERE NOT IS_DEFINED(c.n)":                          "d",
		"SELECT VALUE c.id FROM c WHERE IS_NULL(c.x) AND c.x = @null":                 "c",
		"SELECT VALUE c.id FROM c WHERE c['tags'][0] = 'x' AND c.sub.k = 'v'":         "a",
		"SELECT VALUE c.id FROM c WHERE c.t":                                          "a",
		"SELECT VALUE c.id FROM c WHERE c.tags = c.tags AND c.t = false":              "b",
		"SELECT VALUE c.id FROM c WHERE c.n > -1.5e0 ORDER BY c.n DESC":               "c b a",
		"SELECT VALUE c.id FROM c ORDER BY c.n":                                       "d a b c e", // undefined, numbers, strings
		"SELECT VALUE c.id FROM c ORDER BY c.s ASC":                                   "c a b e d", // by code point
		"SELECT VALUE c.id FROM c WHERE IS_DEFINED(c.t) ORDER BY c.t, c.n DESC":       "b a",
		"SELECT VALUE c.id FROM c ORDER BY c.t DESC, c.n":                             "a b d c e",
		"SELECT TOP 2 VALUE c.id FROM c ORDER BY c.id DESC":                           "e d",
		"SELECT TOP @n VALUE c.id FROM c":                                             "a b",
		"SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 1 LIMIT @n":                    "b c",
		"SELECT VALUE c.id FROM c OFFSET 4 LIMIT 10":                                  "e",
		"SELECT VALUE c.n FROM c WHERE c.pk = 'p'":                                    "1 2 10 1",
		"SELECT c.id, c.n AS number, c.none, IS_DEFINED(c.t) FROM c WHERE c.id = 'a'": `{"$4":true,"id":"a","number":1}`,
		"SELECT c.sub.k what, c FROM c WHERE c.id = 'none'":                           "",
	} {
		// One item a page: the continuation must carry every position.
		for _, size := range []int32{1, 2, 0} {
			items, _, err := query(t.Context(), ct, text, pk("p"), &azcosmos.QueryOptions{QueryParameters: parameters, PageSizeHint: size})
			if got := strings.ReplaceAll(strings.Join(items, " "), `"`, ""); err != nil || got != strings.ReplaceAll(want, `"`, "") {
				t.Errorf("%s\n gives %s, %v, want %s (pages of %d)", text, got, err, want, size)
			}
		}
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	_, ct := zoo(t, cosmos.Options{}, cosmos.ContainerOptions{IncludedPaths: []string{"/n/?", "/pk/?", "/s/*"}})
	for text, want := range map[string]string{
		"":                                      "without FROM",
		"SELECT 1":                              "without FROM",
		"SELECT * FROM c WHERE":                 "unexpected the end",
		"SELECT * FROM c WHERE c.a = 'x":        "does not end",
		"SELECT * FROM c WHERE c.a = '\\q'":     "invalid escape",
		"SELECT * FROM c WHERE d.a = 1":         "could not be resolved",
		"SELECT * FROM c WHERE c.a = @none":     "@none",
		"SELECT * FROM c WHERE c.a LIKE 'x%'":   "LIKE is not supported",
		"SELECT DISTINCT c.a FROM c":            "DISTINCT is not supported",
		"SELECT * FROM c JOIN t IN c.tags":      "JOIN is not supported",
		"SELECT c.a FROM c GROUP BY c.a":        "GROUP is not supported",
		"SELECT VALUE COUNT(1) FROM c":          "'COUNT' is not supported",
		"SELECT * FROM c WHERE c.a + 1 = 2":     "unexpected '+'",
		"SELECT * FROM c WHERE STARTSWITH(c.a)": "does not take 1 arguments",
		"SELECT * FROM c ORDER BY 1":            "property path only",
		"SELECT TOP -1 * FROM c":                "whole number",
		"SELECT * FROM c OFFSET 1":              "expected LIMIT",
		"SELECT * FROM c WHERE c.a = 1 2":       "unexpected '2'",
		"SELECT * FROM c WHERE (c.a = 1":        "expected )",
		"SELECT * FROM c ORDER BY c.x":          "range index",
		"SELECT * FROM c ORDER BY c.n, c.s":     "composite index",
		"SELECT * FROM c WHERE " + strings.Repeat("(", 500) + "c.a" + strings.Repeat(")", 500): "too deeply",
		"SELECT * FROM c WHERE " + strings.Repeat("NOT ", 500) + "c.a":                         "too deeply",
	} {
		_, _, err := query(t.Context(), ct, text, pk("p"), nil)
		if status(t, err) != 400 || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want 400 with %s", text, err, want)
		}
	}
	// The index decides about sorting only.
	if items, _, err := query(t.Context(), ct, "SELECT VALUE c.id FROM c WHERE c.t ORDER BY c.s", pk("p"), nil); err != nil || len(items) != 1 {
		t.Errorf("%v, %v", items, err)
	}
}

func TestQueriesOverPartitions(t *testing.T) {
	_, ct := zoo(t, cosmos.Options{}, cosmos.ContainerOptions{})
	all := azcosmos.NewPartitionKey()
	items, _, err := query(t.Context(), ct, "SELECT VALUE c.id FROM c WHERE c.n = 1", all, nil)
	if err != nil || !slices.Equal(items, []string{`"a"`, `"f"`}) {
		t.Errorf("%v, %v", items, err)
	}
	for _, text := range []string{"SELECT * FROM c ORDER BY c.n", "SELECT TOP 1 * FROM c", "SELECT * FROM c OFFSET 0 LIMIT 1"} {
		if _, _, err := query(t.Context(), ct, text, all, nil); status(t, err) != 400 || !strings.Contains(err.Error(), "can not be directly served by the gateway") {
			t.Errorf("%s: %v", text, err)
		}
	}
	no := false
	if _, _, err := query(t.Context(), ct, "SELECT * FROM c", all, &azcosmos.QueryOptions{EnableCrossPartitionQuery: &no}); status(t, err) != 400 {
		t.Errorf("not enabled: %v", err)
	}
}

// TestPages counts pages by items and by bytes, and changes the partition
// between them.
func TestPages(t *testing.T) {
	_, ct := open(t, cosmos.Options{}, cosmos.ContainerOptions{})
	for i := range 5 {
		item := fmt.Sprintf(`{"id":"%d","pk":"p","x":"%s"}`, i, strings.Repeat("x", 1<<20))
		if _, err := ct.CreateItem(t.Context(), pk("p"), []byte(item), nil); err != nil {
			t.Fatal(err)
		}
	}
	for size, want := range map[int32]int{0: 2, 2: 3, 1: 5, -1: 2} {
		items, pages, err := query(t.Context(), ct, "SELECT * FROM c", pk("p"), &azcosmos.QueryOptions{PageSizeHint: size})
		if err != nil || len(items) != 5 || pages != want {
			t.Errorf("page size %d: %d items in %d pages, %v", size, len(items), pages, err)
		}
	}
	pager := ct.NewQueryItemsPager("SELECT c.id FROM c ORDER BY c.id DESC", pk("p"), &azcosmos.QueryOptions{PageSizeHint: 2})
	first, err := pager.NextPage(t.Context())
	if err != nil || len(first.Items) != 2 {
		t.Fatalf("%v, %v", first.Items, err)
	}
	if _, err := ct.DeleteItem(t.Context(), pk("p"), "3", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ct.CreateItem(t.Context(), pk("p"), []byte(`{"id":"9","pk":"p"}`), nil); err != nil {
		t.Fatal(err)
	}
	second, err := pager.NextPage(t.Context())
	if err != nil || len(second.Items) != 2 || string(second.Items[0]) != `{"id":"2"}` {
		t.Errorf("%s, %v", second.Items, err)
	}
	other := ct.NewQueryItemsPager("SELECT * FROM c", pk("p"), &azcosmos.QueryOptions{ContinuationToken: first.ContinuationToken})
	if _, err := other.NextPage(t.Context()); status(t, err) != 400 {
		t.Errorf("the token of another query: %v", err)
	}
}
