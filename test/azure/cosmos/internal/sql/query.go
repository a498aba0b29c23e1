package sql

// Query is a parsed query. It is not changed by use.
type Query struct {
	// Top, Offset and Limit are -1 when the query has none.
	Top, Offset, Limit int
	// Value says whether the projection is SELECT VALUE.
	Value bool

	whole   bool // SELECT *, or SELECT VALUE c
	alias   string
	columns []column
	where   expr
	order   []order
	params  map[string]any
}

type column struct {
	name string
	expr expr
}

type order struct {
	path path
	desc bool
}

// Matches says whether an item passes the filter.
func (q *Query) Matches(item any) bool {
	return q.where == nil || q.where.eval(&env{item, q.params}) == true
}

// Whole says whether the projection is the item itself.
func (q *Query) Whole() bool { return q.whole }

// Project makes the result for an item; it is Undefined where SELECT VALUE
// has none.
func (q *Query) Project(item any) any {
	e := &env{item, q.params}
	switch {
	case q.whole:
		return item
	case q.Value:
		return q.columns[0].expr.eval(e)
	}
	result := map[string]any{}
	for _, c := range q.columns {
		if v := c.expr.eval(e); v != any(Undefined{}) {
			result[c.name] = v
		}
	}
	return result
}

// Ordered is the number of properties that the query sorts by.
func (q *Query) Ordered() int { return len(q.order) }

// Keys are the values that an item is sorted by.
func (q *Query) Keys(item any) []any {
	keys := make([]any, len(q.order))
	for i, o := range q.order {
		keys[i] = o.path.eval(&env{item, q.params})
	}
	return keys
}

// Less orders two items by their Keys: negative when a comes first, 0 when
// the query does not tell them apart.
func (q *Query) Less(a, b []any) int {
	for i, o := range q.order {
		c := Compare(a[i], b[i])
		if o.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// Sorting names one property of ORDER BY.
type Sorting struct {
	Path       string // as "/a/b"
	Descending bool
}

// Sortings are the properties of ORDER BY in order.
func (q *Query) Sortings() []Sorting {
	s := make([]Sorting, len(q.order))
	for i, o := range q.order {
		s[i] = Sorting{o.path.String(), o.desc}
	}
	return s
}

// Filters are the paths of the properties that the filter looks at.
func (q *Query) Filters() []string {
	var paths []string
	if q.where != nil {
		q.where.walk(func(x expr) {
			if p, ok := x.(path); ok {
				paths = append(paths, p.String())
			}
		})
	}
	return paths
}

// String is the path as an indexing policy writes it.
func (p path) String() string {
	s := ""
	for _, step := range p.steps {
		if name, ok := step.(string); ok {
			s += "/" + name
		} else {
			s += "/[]"
		}
	}
	return s
}
