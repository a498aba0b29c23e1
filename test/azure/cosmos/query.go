package cosmos

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/modelwarden/modelwarden/test/azure/cosmos/internal/sql"
)

// querySpec is the body of a query.
type querySpec struct {
	Query      string `json:"query"`
	Parameters []struct {
		Name  string `json:"name"`
		Value any    `json:"value"`
	} `json:"parameters"`
}

// parseQuery reads the body. Errors are worded as the service's.
func (c *call) parseQuery() (*sql.Query, string, error) {
	var spec querySpec
	if err := c.decode(&spec); err != nil {
		return nil, "", err
	}
	parameters := map[string]any{}
	for _, p := range spec.Parameters {
		parameters[p.Name] = p.Value
	}
	q, err := sql.Parse(spec.Query, parameters)
	if err != nil {
		var at *sql.Error
		position := 0
		if errors.As(err, &at) {
			position = at.Pos
		}
		detail := marshal(map[string]any{"errors": []any{map[string]any{
			"severity": "Error", "location": map[string]any{"start": position, "end": position}, "code": "SC1001", "message": err.Error(),
		}}})
		return nil, "", badRequest("Message: %s", detail)
	}
	return q, spec.Query, nil
}

// queryItems answers a query within one partition, or, in the small way that
// the gateway can, over all of them.
func queryItems(c *call) (*answer, error) {
	q, text, err := c.parseQuery()
	if err != nil {
		return nil, err
	}
	candidates, err := c.candidates(q)
	if err != nil {
		return nil, err
	}
	if err := c.checkSorting(q); err != nil {
		return nil, err
	}
	at, err := c.continuation(text)
	if err != nil {
		return nil, err
	}
	page := c.page(q, collect(q, candidates), at)
	body, returned := render(q, page.items, c.container.rid)
	loaded := page.items
	if !c.container.definition.Indexing.covers(q) && at.start() {
		loaded = candidates
	}
	a := newAnswer(http.StatusOK, body, c.read(queryCharge(loaded, returned)))
	a.header.Set("x-ms-item-count", strconv.Itoa(len(page.items)))
	c.session(a)
	if page.more {
		a.header.Set("x-ms-continuation", page.next.String())
	}
	return a, nil
}

// candidates are the items that the query is about.
func (c *call) candidates(q *sql.Query) ([]*item, error) {
	key, ok, err := c.partitionKey()
	if err != nil {
		return nil, err
	}
	if ok {
		return c.container.partitions[key].live(c.now), nil
	}
	if !c.is("x-ms-documentdb-query-enablecrosspartition") {
		return nil, badRequest("Cross partition query is required but disabled. Please set x-ms-documentdb-query-enablecrosspartition to true, specify x-ms-documentdb-partitionkey, or revise your query to avoid this exception.")
	}
	if q.Ordered() > 0 || q.Top >= 0 || q.Offset >= 0 {
		f := badRequest("The provided cross partition query can not be directly served by the gateway. This is a first chance (internal) exception that all newer clients will know how to handle gracefully. This exception is traced, but unless you see it bubble up as an exception (which only happens on older SDK clients), then you can safely ignore this message.")
		f.substatus = 1004
		return nil, f
	}
	return c.container.live(c.now), nil
}

// checkSorting refuses ORDER BY that no index serves.
func (c *call) checkSorting(q *sql.Query) error {
	policy := c.container.definition.Indexing
	var paths []string
	var desc []bool
	for _, s := range q.Sortings() {
		if !policy.indexed(s.Path) {
			return badRequest("The order-by item requires a range index to be defined on the corresponding index path %s.", s.Path)
		}
		paths, desc = append(paths, s.Path), append(desc, s.Descending)
	}
	if len(paths) > 1 && !policy.composite(paths, desc) {
		return badRequest("The order by query does not have a corresponding composite index that it can be served from.")
	}
	return nil
}

// covers says whether the index serves the filter, so that only what is
// returned has to be loaded.
func (p *indexingPolicy) covers(q *sql.Query) bool {
	for _, path := range q.Filters() {
		if !p.indexed(path) {
			return false
		}
	}
	return true
}

// render writes the projections of a page.
func render(q *sql.Query, items []*item, rid string) (body []byte, returned int) {
	var b bytes.Buffer
	b.WriteString(`{"_rid":` + strconv.Quote(rid) + `,"Documents":[`)
	head, count := b.Len(), 0
	for _, it := range items {
		raw := it.raw
		if !q.Whole() {
			v := q.Project(it.value())
			if v == any(sql.Undefined{}) {
				continue
			}
			raw = marshal(v)
		}
		if count++; count > 1 {
			b.WriteByte(',')
		}
		b.Write(raw)
	}
	returned = b.Len() - head
	b.WriteString(`],"_count":` + strconv.Itoa(count) + `}`)
	return b.Bytes(), returned
}

// listItems is the feed of all items, of one partition or of the container.
func listItems(c *call) (*answer, error) {
	if c.Header.Get("A-IM") != "" {
		return nil, badRequest("The server does not simulate the change feed.")
	}
	c.body = json.RawMessage(`{"query":"SELECT * FROM c"}`)
	if c.Header.Get("x-ms-documentdb-partitionkey") == "" {
		c.Header.Set("x-ms-documentdb-query-enablecrosspartition", "true")
	}
	return queryItems(c)
}

// planQuery answers the query plans that SDKs other than Go's ask for before
// a query across partitions.
func planQuery(c *call) (*answer, error) {
	q, _, err := c.parseQuery()
	if err != nil {
		return nil, err
	}
	if q.Ordered() > 0 || q.Offset >= 0 || q.Top >= 0 {
		return nil, badRequest("The server does not simulate query plans for ORDER BY, TOP and OFFSET: ask within one partition.")
	}
	none := []any{}
	return newAnswer(http.StatusOK, marshal(map[string]any{
		"partitionedQueryExecutionInfoVersion": 2,
		"queryInfo": map[string]any{
			"distinctType": "None", "top": nil, "offset": nil, "limit": nil, "orderBy": none, "orderByExpressions": none,
			"groupByExpressions": none, "groupByAliases": none, "aggregates": none, "groupByAliasToAggregateType": map[string]any{},
			"rewrittenQuery": "", "hasSelectValue": q.Value, "hasNonStreamingOrderBy": false,
		},
		"queryRanges": []any{map[string]any{"min": "", "max": "FF", "isMinInclusive": true, "isMaxInclusive": false}},
	}), 0), nil
}
