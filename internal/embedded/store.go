package embedded

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Limits of the Store, as its contract has them.
const (
	maxPartition   = 1000
	maxRecordID    = 900
	maxSort        = 200
	maxBody        = 3 << 19 // 1.5 MiB
	maxChanges     = 100
	maxCommitBytes = 19 << 20 / 10 // 1.9 MiB
)

// Store is the record store of a DB.
type Store struct {
	db *DB
}

var _ lineage.Store = (*Store)(nil)

// Commit implements lineage.Store.
func (s *Store) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	size, err := checkCommit(partition, changes)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	j := &commitJob{call: newCall(), partition: partition, changes: cloneChanges(changes, size), bytes: size}
	if err := s.db.writer.submit(ctx, j); err != nil {
		return nil, err
	}
	return j.versions, j.refusal
}

// cloneChanges copies what the caller may reuse when the call returns, which
// can be before the commit is done.
func cloneChanges(changes []lineage.Change, size int) []lineage.Change {
	bodies := make([]byte, 0, size)
	clone := slices.Clone(changes)
	for i := range clone {
		start := len(bodies)
		bodies = append(bodies, clone[i].Record.Body...)
		clone[i].Record.Body = bodies[start:len(bodies):len(bodies)]
	}
	return clone
}

func checkCommit(partition string, changes []lineage.Change) (size int, err error) {
	if err := checkKey("partition", partition, 1, maxPartition); err != nil {
		return 0, err
	}
	if len(changes) > maxChanges {
		return 0, fmt.Errorf("commit to %s: %w: %d changes, at most %d fit", partition, lineage.ErrTooLarge, len(changes), maxChanges)
	}
	for i := range changes {
		if err := checkChange(&changes[i]); err != nil {
			return 0, &lineage.ChangeError{Index: i, ID: changes[i].Record.ID, Err: err}
		}
		if repeated(changes[:i], changes[i].Record.ID) {
			return 0, fmt.Errorf("commit to %s: record %s is changed twice", partition, changes[i].Record.ID)
		}
		r := &changes[i].Record
		size += len(r.Body) + len(r.ID) + len(r.Sort)
	}
	if size > maxCommitBytes {
		return 0, fmt.Errorf("commit to %s: %w: %d bytes, at most %d fit", partition, lineage.ErrTooLarge, size, maxCommitBytes)
	}
	return size, nil
}

func repeated(changes []lineage.Change, id string) bool {
	return slices.ContainsFunc(changes, func(c lineage.Change) bool { return c.Record.ID == id })
}

func checkChange(c *lineage.Change) error {
	if c.Op < lineage.Create || c.Op > lineage.Delete {
		return fmt.Errorf("unknown operation %d", c.Op)
	}
	if err := checkKey("id", c.Record.ID, 1, maxRecordID); err != nil {
		return err
	}
	if err := checkKey("sort key", c.Record.Sort, 0, maxSort); err != nil {
		return err
	}
	if len(c.Record.Body) > maxBody {
		return fmt.Errorf("%w: its body has %d bytes, at most %d fit", lineage.ErrTooLarge, len(c.Record.Body), maxBody)
	}
	return nil
}

func checkKey(what, key string, least, most int) error {
	switch {
	case len(key) < least:
		return fmt.Errorf("the %s is empty", what)
	case len(key) > most:
		return fmt.Errorf("%w: the %s has %d bytes, at most %d fit", lineage.ErrTooLarge, what, len(key), most)
	case !utf8.ValidString(key):
		return fmt.Errorf("the %s %q is not UTF-8", what, key)
	}
	return nil
}
