package cosmos

import (
	"context"
	"fmt"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// pageBytes of bodies end a page early.
const pageBytes = 8 << 20

// List implements lineage.Store: a query by the id or the order key, from the
// place where the last page ended. The service's own continuation is used
// within a page only, so a cursor is good for as long as anybody keeps it.
func (s *Store) List(ctx context.Context, q lineage.Query) (lineage.Page, error) {
	if s.closed.Load() {
		return lineage.Page{}, lineage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return lineage.Page{}, err
	}
	l, err := newListing(q)
	if err == nil && !l.empty {
		err = s.retry(ctx, opList, l.read)
	}
	if err != nil {
		return lineage.Page{}, fmt.Errorf("list %s: %w", q.Partition, err)
	}
	return l.page, nil
}

// listing is one page of a List.
type listing struct {
	query lineage.Query
	pk    string
	limit int
	// from and until bound the order key, until only if it is bounded; after
	// is the key where the last page ended.
	from, until, after string
	bounded            bool
	empty              bool // nothing can match
	page               lineage.Page
	bytes              int
	last               string // key of the last record
	cut                bool   // items were left for the next page
}

func newListing(q lineage.Query) (*listing, error) {
	limit, err := lineage.CheckQuery(q)
	if err != nil {
		return nil, err
	}
	l := &listing{query: q, limit: limit}
	l.pk, _ = encodeName(q.Partition)
	l.setBounds()
	if q.Cursor == "" {
		return l, nil
	}
	l.after, err = openCursor(q)
	return l, err
}

// setBounds escapes what bounds the order key. An escaped key is above an
// escaped bound exactly if the key is above the bound, for order keys too:
// what follows the sort key in them begins with a space, below everything.
func (l *listing) setBounds() {
	from, until := l.query.From, l.query.Until
	if p := l.query.Prefix; p != "" {
		from = max(from, p)
		if end := prefixEnd(p); end != "" && (until == "" || end < until) {
			until = end
		}
	}
	var any bool
	if l.from, any = bound(from); !any {
		l.empty = true
	}
	if until != "" {
		l.until, l.bounded = bound(until)
	}
}

// prefixEnd is the least string behind all that begin with p, by bytes; "" when
// there is none.
func prefixEnd(p string) string {
	b := []byte(p)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) > 0 {
		b[len(b)-1]++
	}
	return string(b)
}

// build writes the query. Without any bound the comparison with "" is what
// leaves out records without an order key.
func (l *listing) build() *query {
	key, direction, beyond := "c.id", " ASC", " > "
	if l.query.Order == lineage.BySort {
		key = "c.o"
	}
	if l.query.Descending {
		direction, beyond = " DESC", " < "
	}
	q := &query{pageSize: l.limit}
	q.text.WriteString("SELECT * FROM c WHERE " + key + " >= " + q.bind(l.from))
	if l.bounded {
		q.text.WriteString(" AND " + key + " < " + q.bind(l.until))
	}
	if l.after != "" {
		q.text.WriteString(" AND " + key + beyond + q.bind(l.after))
	}
	q.text.WriteString(" ORDER BY " + key + direction)
	return q
}

// read fills the page. Pages of the service may be short, or empty, and still
// not be the last.
func (l *listing) read(ctx context.Context, c *conn) error {
	l.page, l.bytes, l.cut = lineage.Page{}, 0, false
	more, err := c.query(ctx, l.pk, l.build(), l.take)
	if err == nil && (more || l.cut) {
		l.page.Next = makeCursor(l.query, l.last)
	}
	return err
}

// take adds items until the page is full. What does not fit is read again
// with the next page.
func (l *listing) take(items [][]byte) (enough bool, err error) {
	for _, raw := range items {
		if l.full() {
			l.cut = true
			break
		}
		r, it, err := decodeItem(l.query.Partition, raw)
		if err != nil {
			return false, err
		}
		l.page.Records = append(l.page.Records, r)
		l.bytes += len(r.Body)
		if l.last = it.ID; l.query.Order == lineage.BySort {
			l.last = it.Order
		}
	}
	return l.full(), nil
}

func (l *listing) full() bool {
	return len(l.page.Records) >= l.limit || l.bytes > pageBytes
}
