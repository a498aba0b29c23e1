package sql

import (
	"encoding/json"
	"testing"
)

// FuzzParse: no text and no item make the parser or the query panic.
func FuzzParse(f *testing.F) {
	for _, q := range []string{
		"SELECT * FROM c WHERE c.a = 1 AND NOT c['b'][0] IN ('x', @p) ORDER BY c.a DESC, c.b OFFSET 1 LIMIT 2",
		"SELECT TOP 1 VALUE c.a FROM c", "SELECT c.a x, STARTSWITH(c.a, 'b', true) FROM root AS c WHERE c.a BETWEEN -1.5e3 AND 2",
		`SELECT * FROM c WHERE c.a = "\ud83e\udd86\n\'"`, "SELECT VALUE c[undefined] FROM c", "FROM", "@", "'", "SELECT c FROM c WHERE c.a[1e99] = null",
	} {
		f.Add(q, `{"a":{"b":[1,"x",null,true]},"b":"é"}`)
	}
	f.Fuzz(func(t *testing.T, text, item string) {
		q, err := Parse(text, map[string]any{"@p": "v", "@n": 2.0})
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Pos < 0 || e.Pos > len(text) {
				t.Errorf("%q: %#v", text, err)
			}
			return
		}
		var v any
		if json.Unmarshal([]byte(item), &v) != nil {
			return
		}
		q.Matches(v)
		q.Project(v)
		if keys := q.Keys(v); q.Less(keys, keys) != 0 {
			t.Errorf("%q: an item is not equal to itself", text)
		}
	})
}
