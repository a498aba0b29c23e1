package embedded

import (
	"context"
	"slices"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Store is the record store of a DB.
type Store struct {
	db *DB
}

var _ lineage.Store = (*Store)(nil)

// Commit implements lineage.Store.
func (s *Store) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	size, err := lineage.CheckCommit(partition, changes)
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
