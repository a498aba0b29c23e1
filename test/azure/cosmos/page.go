package cosmos

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strconv"

	"github.com/modelwarden/modelwarden/test/azure/cosmos/internal/sql"
)

// defaultPage is how many items a page has when the client does not say;
// maxPageBytes ends a page early, as the service does.
const (
	defaultPage  = 100
	maxPageItems = 1000
	maxPageBytes = 4 << 20
)

// place is where a query goes on: behind an item, by its sort keys and
// number. Clients see it as an opaque token.
type place struct {
	Query  uint64 `json:"q"`           // of which query
	Keys   []key  `json:"k,omitempty"` // sort keys of the last item
	Number uint64 `json:"n"`           // of the last item; 0 is the start
	Passed int    `json:"p,omitempty"` // how many matches are behind it
}

// key is a sort key that survives JSON: empty for undefined.
type key []any

func (p place) start() bool { return p.Number == 0 }

func (p place) String() string { return base64.StdEncoding.EncodeToString(marshal(p)) }

func fingerprint(query string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(query))
	return h.Sum64() >> 11 // what a JSON number holds exactly
}

// continuation reads the token that the client sent.
func (c *call) continuation(query string) (place, error) {
	p := place{Query: fingerprint(query)}
	token := c.Header.Get("x-ms-continuation")
	if token == "" {
		return p, nil
	}
	var sent place
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(raw, &sent) != nil || sent.Query != p.Query {
		return p, badRequest("Invalid Continuation Token")
	}
	return sent, nil
}

// match is an item that passed the filter, with its sort keys.
type match struct {
	item *item
	keys []any
}

// collect filters and sorts. Items that the query does not tell apart come in
// order of creation.
func collect(q *sql.Query, items []*item) []match {
	var found []match
	for _, it := range items {
		if v := it.value(); q.Matches(v) {
			found = append(found, match{it, q.Keys(v)})
		}
	}
	slices.SortFunc(found, func(a, b match) int {
		return cmp.Or(q.Less(a.keys, b.keys), cmp.Compare(a.item.number, b.item.number))
	})
	return found
}

// page is one page of the matches.
type page struct {
	items []*item
	more  bool
	next  place
}

// page cuts what comes after a place. A fault may make it shorter.
func (c *call) page(q *sql.Query, found []match, at place) page {
	rest := found
	if !at.start() {
		last := unwrap(at.Keys)
		first := slices.IndexFunc(found, func(m match) bool {
			order := q.Less(m.keys, last)
			return order > 0 || order == 0 && m.item.number > at.Number
		})
		rest = nil
		if first >= 0 {
			rest = found[first:]
		}
	}
	rest, skipped := window(q, rest, at.Passed)
	limit := c.pageLimit()
	pg := page{next: at}
	size := 0
	for len(pg.items) < min(limit, len(rest)) {
		m := rest[len(pg.items)]
		if size += len(m.item.raw); size > maxPageBytes && len(pg.items) > 0 {
			break
		}
		pg.items = append(pg.items, m.item)
		pg.next = place{at.Query, wrap(m.keys), m.item.number, at.Passed + skipped + len(pg.items)}
	}
	pg.more = len(pg.items) < len(rest) || c.fault.EmptyPage
	return pg
}

// window applies OFFSET, LIMIT and TOP; passed matches are behind already.
func window(q *sql.Query, rest []match, passed int) (cut []match, skipped int) {
	first, last := max(q.Offset, 0), -1
	if q.Limit >= 0 {
		last = first + q.Limit
	}
	if q.Top >= 0 {
		last = q.Top
	}
	if passed < first {
		skipped = min(first-passed, len(rest))
		rest, passed = rest[skipped:], first
	}
	if last >= 0 {
		rest = rest[:min(len(rest), max(0, last-passed))]
	}
	return rest, skipped
}

func wrap(values []any) []key {
	keys := make([]key, len(values))
	for i, v := range values {
		if v != any(sql.Undefined{}) {
			keys[i] = key{v}
		}
	}
	return keys
}

func unwrap(keys []key) []any {
	values := make([]any, len(keys))
	for i, k := range keys {
		values[i] = sql.Undefined{}
		if len(k) > 0 {
			values[i] = k[0]
		}
	}
	return values
}

// pageLimit is how many items the client, or a fault, wants in a page.
func (c *call) pageLimit() int {
	switch {
	case c.fault.EmptyPage:
		return 0
	case c.fault.ShortPage:
		return 1
	}
	n, err := strconv.Atoi(c.Header.Get("x-ms-max-item-count"))
	switch {
	case err != nil || n == 0:
		return defaultPage
	case n < 0:
		return maxPageItems
	}
	return min(n, maxPageItems)
}
