package lineage

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// Limits of a Store, in bytes except for MaxChanges. They are what fits into
// one transactional batch of Azure Cosmos DB (100 operations, 2 MiB) however
// badly a body compresses and whatever characters its names have.
const (
	MaxPartition   = 1000
	MaxRecordID    = 900
	MaxSort        = 200
	MaxBody        = 1 << 20
	MaxChanges     = 100
	MaxCommitBytes = 5 << 18 // 1.25 MiB of ids, sort keys and bodies
)

// Lengths of a Page, in records.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// CheckQuery holds a query to the contract of Store.List, for its
// implementations: it returns how many records the page may have.
func CheckQuery(q Query) (limit int, err error) {
	switch {
	case q.Limit < 0 || q.Limit > MaxLimit:
		return 0, fmt.Errorf("limit %d, give 1 to %d", q.Limit, MaxLimit)
	case q.Order != ByID && q.Order != BySort:
		return 0, fmt.Errorf("unknown order %d", q.Order)
	case q.Limit == 0:
		return DefaultLimit, nil
	}
	return q.Limit, nil
}

// CheckCommit holds a commit to the contract of Store.Commit, for its
// implementations: it returns the commit's size, or what is wrong with it,
// which is a *ChangeError where one change is to blame.
func CheckCommit(partition string, changes []Change) (size int, err error) {
	if err := checkKey("partition", partition, 1, MaxPartition); err != nil {
		return 0, err
	}
	if len(changes) > MaxChanges {
		return 0, fmt.Errorf("commit to %s: %w: %d changes, at most %d fit", partition, ErrTooLarge, len(changes), MaxChanges)
	}
	for i := range changes {
		r := &changes[i].Record
		if err := checkChange(&changes[i]); err != nil {
			return 0, &ChangeError{Index: i, ID: r.ID, Err: err}
		}
		if repeated(changes[:i], r.ID) {
			return 0, fmt.Errorf("commit to %s: record %s is changed twice", partition, r.ID)
		}
		size += len(r.Body) + len(r.ID) + len(r.Sort)
	}
	if size > MaxCommitBytes {
		return 0, fmt.Errorf("commit to %s: %w: %d bytes, at most %d fit", partition, ErrTooLarge, size, MaxCommitBytes)
	}
	return size, nil
}

func repeated(changes []Change, id string) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Record.ID == id })
}

func checkChange(c *Change) error {
	if c.Op < Create || c.Op > Delete {
		return fmt.Errorf("unknown operation %d", c.Op)
	}
	if err := checkKey("id", c.Record.ID, 1, MaxRecordID); err != nil {
		return err
	}
	if err := checkKey("sort key", c.Record.Sort, 0, MaxSort); err != nil {
		return err
	}
	if len(c.Record.Body) > MaxBody {
		return fmt.Errorf("%w: its body has %d bytes, at most %d fit", ErrTooLarge, len(c.Record.Body), MaxBody)
	}
	return nil
}

func checkKey(what, key string, least, most int) error {
	switch {
	case len(key) < least:
		return fmt.Errorf("the %s is empty", what)
	case len(key) > most:
		return fmt.Errorf("%w: the %s has %d bytes, at most %d fit", ErrTooLarge, what, len(key), most)
	case !utf8.ValidString(key):
		return fmt.Errorf("the %s %q is not UTF-8", what, key)
	}
	return nil
}
