package lineage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Journal is a list over all assets, newest first, for pages and commands:
// of events, decisions, actions or quarantined messages. Workers append to it
// in pages, one record for a whole batch, so that listing costs a fraction of
// a write per entry. Its partitions are one a day, `journal/<name>/<day>`,
// and `journal/<name>` with one record a day as their directory.
//
// A page's id is fixed before the entries' own records are committed and is
// stored in them; a worker that finds an entry committed but not on its page
// (a crash fell between) adds it. So every entry is listed exactly once.
type Journal struct {
	Name string
	// Retention is how long pages are kept; zero is for ever.
	Retention time.Duration
}

// The journals.
var (
	EventJournal      = Journal{Name: "events"}
	DecisionJournal   = Journal{Name: "decisions"}
	ActionJournal     = Journal{Name: "actions"}
	QuarantineJournal = Journal{Name: "quarantine"}
)

// PageID makes the id of a page that is begun now by the given worker:
// time-ordered, unique where (worker, n) is.
func PageID(now time.Time, worker string, n uint64) string {
	return SortTime(now) + "-" + worker + "-" + strconv.FormatUint(n, 36)
}

// JournalEntry is one line of a page: its key (unique in the journal) and
// what a list shows of it.
type JournalEntry struct {
	Key  string          `json:"k"`
	Body json.RawMessage `json:"b"`
}

type journalPage struct {
	Entries []JournalEntry `json:"entries"`
}

func (j Journal) directory() string { return "journal/" + j.Name }

func (j Journal) partition(page string) string {
	day, _, _ := strings.Cut(page, "T")
	return "journal/" + j.Name + "/" + day
}

// Bounds of one page's record; a batch with more fills several records, the
// page itself and `<page>.1`, `<page>.2`, ...
const (
	maxPageEntries = 250
	maxPageBytes   = 768 << 10
)

func subPage(page string, n int) string {
	if n == 0 {
		return page
	}
	return page + "." + strconv.Itoa(n)
}

// Append makes sure that the entries are on the page. It is idempotent by
// entry key.
func (j Journal) Append(ctx context.Context, store Store, page string, entries []JournalEntry) error {
	for n := 0; len(entries) > 0; n++ {
		take := fitting(entries)
		change := Change{Op: Create, Record: Record{ID: subPage(page, n)}}
		err := j.put(ctx, store, j.partition(page), change, journalPage{Entries: entries[:take]})
		if errors.Is(err, ErrExists) {
			err, take = j.complete(ctx, store, page, entries), len(entries)
		}
		if err != nil {
			return fmt.Errorf("journal %s: %w", j.Name, err)
		}
		entries = entries[take:]
	}
	return nil
}

// fitting is how many of the entries go into one record, at least one.
func fitting(entries []JournalEntry) int {
	bytes := 0
	for i, e := range entries {
		if bytes += len(e.Key) + len(e.Body) + 16; i > 0 && (i >= maxPageEntries || bytes > maxPageBytes) {
			return i
		}
	}
	return len(entries)
}

// complete adds what an existing page lacks: the way after a crash, or when
// two workers had the same event.
func (j Journal) complete(ctx context.Context, store Store, page string, entries []JournalEntry) error {
	partition := j.partition(page)
	for n := 0; ; n++ {
		id := subPage(page, n)
		got, err := store.Get(ctx, partition, id)
		if err != nil {
			return err
		}
		if got[0].Version == "" {
			take := fitting(entries)
			err := j.put(ctx, store, partition, Change{Op: Create, Record: Record{ID: id}}, journalPage{Entries: entries[:take]})
			switch {
			case errors.Is(err, ErrExists):
				n--
			case err != nil || take == len(entries):
				return err
			default:
				entries = entries[take:]
			}
			continue
		}
		var old journalPage
		if err := json.Unmarshal(got[0].Body, &old); err != nil {
			return fmt.Errorf("page %s: %w", id, err)
		}
		if entries = missing(old.Entries, entries); len(entries) == 0 {
			return nil
		}
	}
}

func (j Journal) put(ctx context.Context, store Store, partition string, c Change, page journalPage) error {
	c.Record.Body = appendPage(nil, page.Entries)
	if j.Retention > 0 {
		if at, err := time.Parse(time.DateOnly, partition[strings.LastIndexByte(partition, '/')+1:]); err == nil {
			c.Record.Expires = at.Add(j.Retention + 24*time.Hour)
		}
	}
	_, err := store.Commit(ctx, partition, []Change{c})
	return err
}

// Open makes sure that the directory lists the page's day. Workers call it
// once a day.
func (j Journal) Open(ctx context.Context, store Store, page string) error {
	day, _, _ := strings.Cut(page, "T")
	_, err := store.Commit(ctx, j.directory(), []Change{{Op: Upsert, Record: Record{ID: day, Body: []byte("{}")}}})
	return err
}

// missing returns the entries that old does not have.
func missing(old, entries []JournalEntry) []JournalEntry {
	have := make(map[string]bool, len(old))
	for _, e := range old {
		have[e.Key] = true
	}
	var out []JournalEntry
	for _, e := range entries {
		if !have[e.Key] {
			out = append(out, e)
		}
	}
	return out
}

// Span bounds a listing by the time at which entries were recorded; a zero
// time is no bound.
type Span struct{ Since, Until time.Time }

func (s Span) holdsDay(day string) bool {
	return (s.Since.IsZero() || day >= s.Since.UTC().Format(time.DateOnly)) &&
		(s.Until.IsZero() || day <= s.Until.UTC().Format(time.DateOnly))
}

// ErrBadCursor means that a cursor was not made by the listing it is used in.
var ErrBadCursor = errors.New("bad cursor: use the nextCursor of the same listing unchanged")

// Limits of one List call.
const (
	listPageRecords = 20
	maxListReads    = 200
)

// List walks the journal from the newest entry backwards and gives each to
// keep, which says whether it belongs to the result, until limit entries were
// kept. A call reads at most a few thousand entries; when that was not enough
// it returns what it found and a cursor to go on from. next is "" at the end.
func (j Journal) List(ctx context.Context, store Store, span Span, cursor string, limit int, keep func(JournalEntry) (bool, error)) (next string, err error) {
	at, err := parseJournalCursor(cursor)
	if err != nil {
		return "", err
	}
	days, err := j.days(ctx, store, span, at.day)
	if err != nil {
		return "", err
	}
	w := journalWalk{journal: j, store: store, limit: limit, keep: keep, reads: maxListReads}
	for _, day := range days {
		if at.day != day {
			at = journalCursor{day: day}
		}
		next, err := w.day(ctx, at)
		if err != nil || next != "" {
			return next, err
		}
	}
	return "", nil
}

// days lists the days of the span, newest first, from the given day back.
func (j Journal) days(ctx context.Context, store Store, span Span, from string) ([]string, error) {
	var out []string
	q := Query{Partition: j.directory(), Descending: true, Limit: 1000}
	for {
		page, err := store.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			if span.holdsDay(r.ID) && (from == "" || r.ID <= from) {
				out = append(out, r.ID)
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out, nil
		}
	}
}

// journalCursor is a place in a journal: within the day, behind the entry
// number `skip` (counted from the newest) of the page `page`.
type journalCursor struct {
	day, page string
	skip      int
}

func (c journalCursor) String() string { return c.day + "|" + c.page + "|" + strconv.Itoa(c.skip) }

func parseJournalCursor(s string) (journalCursor, error) {
	if s == "" {
		return journalCursor{}, nil
	}
	parts := strings.Split(s, "|")
	if len(parts) != 3 {
		return journalCursor{}, ErrBadCursor
	}
	skip, err := strconv.Atoi(parts[2])
	if _, dayErr := time.Parse(time.DateOnly, parts[0]); err != nil || dayErr != nil || skip < 0 {
		return journalCursor{}, ErrBadCursor
	}
	return journalCursor{day: parts[0], page: parts[1], skip: skip}, nil
}

type journalWalk struct {
	journal Journal
	store   Store
	limit   int
	kept    int
	reads   int
	keep    func(JournalEntry) (bool, error)
}

// day walks one day's pages; it returns a cursor when it had to stop.
func (w *journalWalk) day(ctx context.Context, at journalCursor) (string, error) {
	q := Query{Partition: w.journal.directory() + "/" + at.day, Descending: true, Limit: listPageRecords}
	if at.page != "" {
		q.Until = at.page + "\x00"
	}
	for {
		page, err := w.store.List(ctx, q)
		if err != nil {
			return "", err
		}
		for _, r := range page.Records {
			skip := 0
			if r.ID == at.page {
				skip = at.skip
			}
			stop, err := w.page(r, at.day, skip)
			if err != nil || stop != "" {
				return stop, err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return "", nil
		}
	}
}

func (w *journalWalk) page(r Record, day string, skip int) (string, error) {
	var page journalPage
	if err := json.Unmarshal(r.Body, &page); err != nil {
		return "", fmt.Errorf("journal page %s: %w", r.ID, err)
	}
	if w.reads--; w.reads < 0 {
		return journalCursor{day, r.ID, skip}.String(), nil
	}
	slices.Reverse(page.Entries)
	for i, e := range page.Entries {
		if i < skip {
			continue
		}
		if w.kept >= w.limit {
			return journalCursor{day, r.ID, i}.String(), nil
		}
		ok, err := w.keep(e)
		if err != nil {
			return "", err
		}
		if ok {
			w.kept++
		}
	}
	return "", nil
}
