package embedded

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// pageBytes ends a page of records early.
const pageBytes = 8 << 20

// Get implements lineage.Store: all records as of one moment. A record that
// expired is absent.
func (s *Store) Get(ctx context.Context, partition string, ids ...string) ([]lineage.Record, error) {
	records := make([]lineage.Record, len(ids))
	err := s.db.readers.read(ctx, func(c *conn) error {
		now := time.Now()
		for i, id := range ids {
			records[i] = lineage.Record{Partition: partition, ID: id}
			if err := getRecord(c, &records[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

func getRecord(c *conn, r *lineage.Record, now time.Time) error {
	const query = "SELECT sort, version, expires, body FROM records WHERE partition = ? AND id = ?"
	return c.query(query, func(st *sqlite.Stmt) {
		st.BindText(1, r.Partition)
		st.BindText(2, r.ID)
	}, func(st *sqlite.Stmt) error {
		if expired(st, 2, now) {
			return nil
		}
		fillRecord(st, 0, r)
		return nil
	})
}

func expired(st *sqlite.Stmt, col int, now time.Time) bool {
	ms := st.ColumnInt64(col)
	return ms != 0 && ms <= now.UnixMilli()
}

// fillRecord reads the columns sort, version, expires, body from col on.
func fillRecord(st *sqlite.Stmt, col int, r *lineage.Record) {
	r.Sort = st.ColumnText(col)
	r.Version = formatVersion(st.ColumnInt64(col + 1))
	if ms := st.ColumnInt64(col + 2); ms != 0 {
		r.Expires = time.UnixMilli(ms).UTC()
	}
	r.Body = columnBytes(st, col+3)
}

// List implements lineage.Store. A page ends early at about 8 MiB.
func (s *Store) List(ctx context.Context, q lineage.Query) (lineage.Page, error) {
	l, err := newListing(q)
	if err != nil {
		return lineage.Page{}, fmt.Errorf("list %s: %w", q.Partition, err)
	}
	err = s.db.readers.read(ctx, func(c *conn) error {
		now := time.Now()
		return c.query(l.sql, l.bind, func(st *sqlite.Stmt) error { return l.row(st, now) })
	})
	if err != nil {
		return lineage.Page{}, err
	}
	return l.page, nil
}

// listing is one page of a List.
type listing struct {
	query lineage.Query
	sql   string
	args  []string
	limit int
	rows  int
	bytes int
	page  lineage.Page
	// lastSort and lastID are the key of the newest row looked at.
	lastSort, lastID string
}

func newListing(q lineage.Query) (*listing, error) {
	limit, err := lineage.CheckQuery(q)
	if err != nil {
		return nil, err
	}
	l := &listing{query: q, limit: limit}
	return l, l.build()
}

// build writes the statement. There are few different ones, so they stay
// prepared.
func (l *listing) build() error {
	key := "id"
	var b strings.Builder
	b.WriteString("SELECT id, sort, version, expires, body FROM records WHERE partition = ?")
	l.args = append(l.args, l.query.Partition)
	if l.query.Order == lineage.BySort {
		key = "sort"
		b.WriteString(" AND sort IS NOT NULL")
	}
	from, until := l.query.From, l.query.Until
	if p := l.query.Prefix; p != "" {
		from = max(from, p)
		if end := prefixEnd(p); end != "" && (until == "" || end < until) {
			until = end
		}
	}
	if from != "" {
		b.WriteString(" AND " + key + " >= ?")
		l.args = append(l.args, from)
	}
	if until != "" {
		b.WriteString(" AND " + key + " < ?")
		l.args = append(l.args, until)
	}
	if err := l.resume(&b); err != nil {
		return err
	}
	b.WriteString(orderBy(l.query))
	l.sql = b.String()
	return nil
}

func orderBy(q lineage.Query) string {
	direction := ""
	if q.Descending {
		direction = " DESC"
	}
	if q.Order == lineage.BySort {
		return " ORDER BY sort" + direction + ", id" + direction + " LIMIT ?"
	}
	return " ORDER BY id" + direction + " LIMIT ?"
}

// resume adds the condition of the cursor.
func (l *listing) resume(b *strings.Builder) error {
	if l.query.Cursor == "" {
		return nil
	}
	sort, id, err := openCursor(l.query)
	if err != nil {
		return err
	}
	compare := " > "
	if l.query.Descending {
		compare = " < "
	}
	if l.query.Order == lineage.BySort {
		b.WriteString(" AND (sort, id)" + compare + "(?, ?)")
		l.args = append(l.args, sort, id)
		return nil
	}
	b.WriteString(" AND id" + compare + "?")
	l.args = append(l.args, id)
	return nil
}

// prefixEnd is the least string behind all that begin with p; "" when there
// is none. It is compared by bytes and need not be UTF-8.
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

func (l *listing) bind(st *sqlite.Stmt) {
	for i, a := range l.args {
		st.BindText(i+1, a)
	}
	st.BindInt64(len(l.args)+1, int64(l.limit)+1)
}

func (l *listing) row(st *sqlite.Stmt, now time.Time) error {
	if l.page.Next != "" {
		return nil
	}
	if l.rows == l.limit || l.bytes > pageBytes {
		l.page.Next = makeCursor(l.query, l.lastSort, l.lastID)
		return nil
	}
	r := lineage.Record{Partition: l.query.Partition, ID: st.ColumnText(0)}
	l.rows++
	l.lastID, l.lastSort = r.ID, st.ColumnText(1)
	if expired(st, 3, now) {
		return nil
	}
	fillRecord(st, 1, &r)
	l.bytes += len(r.Body)
	l.page.Records = append(l.page.Records, r)
	return nil
}

// cursorVersion begins every cursor, so that another format is refused.
const cursorVersion = 1

// cursorMark tells the listings apart for which a cursor is good.
func cursorMark(q lineage.Query) byte {
	mark := byte(q.Order) << 1
	if q.Descending {
		mark |= 1
	}
	return mark
}

func makeCursor(q lineage.Query, sort, id string) string {
	b := []byte{cursorVersion, cursorMark(q)}
	b = binary.AppendUvarint(b, uint64(len(sort)))
	b = append(append(b, sort...), id...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func openCursor(q lineage.Query) (sort, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(b) < 3 || b[0] != cursorVersion || b[1] != cursorMark(q) {
		return "", "", lineage.ErrBadCursor
	}
	r := entryReader{rest: b[2:]}
	sort, id = string(r.bytes()), string(r.rest)
	if r.broken || id == "" {
		return "", "", lineage.ErrBadCursor
	}
	return sort, id, nil
}
