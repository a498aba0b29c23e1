package cosmos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// maxOperations is what a transactional batch holds. Source: "Transactional
// batch operations in Azure Cosmos DB".
const maxOperations = 100

// commit is one Commit on its way.
type commit struct {
	store     *Store
	partition string
	pk        string
	changes   []lineage.Change
	names     []string // encoded ids
	items     [][]byte // of those that write; nil for a delete
	mark      string
	// doubtful is set when a try may have taken effect: from then on the
	// mark in the records decides.
	doubtful bool
	// absent are versionless deletes whose record was found missing.
	absent map[int]bool
}

// Commit implements lineage.Store: one transactional batch. When an answer is
// lost, the records are read back: those that a commit of ours wrote carry
// its mark. A commit that nobody can tell about any more, because others have
// written over all of it in the meantime, counts as not made and meets their
// versions: ErrConflict or ErrExists.
func (s *Store) Commit(ctx context.Context, partition string, changes []lineage.Change) ([]string, error) {
	if s.closed.Load() {
		return nil, lineage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := lineage.CheckCommit(partition, changes); err != nil || len(changes) == 0 {
		return nil, err
	}
	c := newCommit(s, partition, changes)
	var versions []string
	err := s.retry(ctx, opCommit, func(ctx context.Context, conn *conn) (err error) {
		versions, err = c.try(ctx, conn)
		return err
	})
	return versions, c.outcome(err)
}

func newCommit(s *Store, partition string, changes []lineage.Change) *commit {
	c := &commit{
		store: s, partition: partition, changes: changes, mark: newMark(), absent: map[int]bool{},
		names: make([]string, len(changes)), items: make([][]byte, len(changes)),
	}
	c.pk, _ = encodeName(partition)
	now := time.Now()
	for i := range changes {
		c.names[i], _ = encodeName(changes[i].Record.ID)
		if changes[i].Op != lineage.Delete {
			c.items[i] = encodeItem(c.pk, &changes[i].Record, c.mark, now)
		}
	}
	return c
}

// outcome words the error of a commit.
func (c *commit) outcome(err error) error {
	if err == nil {
		return nil
	}
	var failed *operationError
	if errors.As(err, &failed) {
		if cause := c.cause(failed); cause != nil {
			return &lineage.ChangeError{Index: failed.index, ID: c.changes[failed.index].Record.ID, Err: cause}
		}
	}
	return fmt.Errorf("commit to %s: %w", c.partition, err)
}

// cause is what the contract calls the status of a change's operation; nil
// when it is nothing that the contract knows.
func (c *commit) cause(failed *operationError) error {
	switch failed.status {
	case http.StatusConflict:
		return lineage.ErrExists
	case http.StatusPreconditionFailed, http.StatusNotFound:
		return lineage.ErrConflict
	case http.StatusRequestEntityTooLarge:
		return lineage.ErrTooLarge
	}
	return nil
}

// try makes the commit once, more often only to learn which records are
// absent. An *operationError has the index of the change.
func (c *commit) try(ctx context.Context, conn *conn) ([]string, error) {
	if c.doubtful {
		if versions, err := c.landed(ctx, conn); versions != nil || err != nil {
			return versions, err
		}
	}
	for range maxTries {
		versions, err := c.execute(ctx, conn)
		var failed *operationError
		if !errors.As(err, &failed) {
			class, _ := classify(err)
			c.doubtful = c.doubtful || err != nil && class == doubtful
			return versions, err
		}
		if c.isDone(failed) {
			return make([]string, len(c.changes)), nil
		}
		again, err := c.resolve(ctx, conn, failed)
		if err != nil {
			return nil, err
		}
		if !again {
			return c.giveUp(ctx, conn, failed)
		}
	}
	return nil, errUnsteady
}

// giveUp ends a commit that was refused, unless the refusal is the trace of
// its own first try.
func (c *commit) giveUp(ctx context.Context, conn *conn, failed *operationError) ([]string, error) {
	if c.doubtful && c.cause(failed) != nil {
		if versions, err := c.landed(ctx, conn); versions != nil || err != nil {
			return versions, err
		}
	}
	return nil, failed
}

// isDone says whether a delete that found nothing is all there was to do.
func (c *commit) isDone(failed *operationError) bool {
	return len(c.changes) == 1 && c.anyVersion(0) && failed.status == http.StatusNotFound
}

// anyVersion says whether a change is a delete of whatever is there.
func (c *commit) anyVersion(i int) bool {
	return c.changes[i].Op == lineage.Delete && c.changes[i].Record.Version == ""
}

// resolve learns from a failed delete without a version whether its record is
// absent; again says that the batch is worth another try.
func (c *commit) resolve(ctx context.Context, conn *conn, failed *operationError) (again bool, err error) {
	i := failed.index
	if !c.anyVersion(i) {
		return false, nil
	}
	switch {
	case c.absent[i] && failed.status == http.StatusConflict:
		c.absent[i] = false
		return true, nil
	case !c.absent[i] && failed.status == http.StatusNotFound:
		return true, c.findAbsent(ctx, conn)
	}
	return false, nil
}

// findAbsent looks all records up that are to be deleted whatever they are.
func (c *commit) findAbsent(ctx context.Context, conn *conn) error {
	var names []string
	for i := range c.changes {
		if c.anyVersion(i) {
			names = append(names, c.names[i])
		}
	}
	there, err := conn.marks(ctx, c.pk, names)
	if err != nil {
		return err
	}
	for i := range c.changes {
		if c.anyVersion(i) {
			_, exists := there[c.names[i]]
			c.absent[i] = !exists
		}
	}
	return nil
}

// execute sends the batch. Its answer is err == nil even if it failed.
func (c *commit) execute(ctx context.Context, conn *conn) ([]string, error) {
	b, owners := c.batch(conn)
	if len(owners) == 0 {
		return make([]string, len(c.changes)), nil
	}
	resp, err := conn.container.ExecuteTransactionalBatch(ctx, b, nil)
	if err != nil {
		return nil, err
	}
	if !resp.Success {
		return nil, blame(resp.OperationResults, owners)
	}
	return c.versions(resp.OperationResults, owners)
}

// batch builds the operations and tells which change each belongs to.
//
// A delete fails on what is absent. That a record is absent is proven within
// the batch by creating and deleting it; where the batch has no room for
// that, the delete is left out: its record was absent a moment ago.
func (c *commit) batch(conn *conn) (azcosmos.TransactionalBatch, []int) {
	b := conn.container.NewTransactionalBatch(azcosmos.NewPartitionKeyString(c.pk))
	room := maxOperations - len(c.changes)
	var owners []int
	for i := range c.changes {
		if c.absent[i] {
			if room == 0 {
				continue
			}
			room--
			b.CreateItem(encodeItem(c.pk, &lineage.Record{ID: c.changes[i].Record.ID}, c.mark, time.Time{}), nil)
			owners = append(owners, i)
		}
		c.add(&b, i)
		owners = append(owners, i)
	}
	return b, owners
}

func (c *commit) add(b *azcosmos.TransactionalBatch, i int) {
	match := &azcosmos.TransactionalBatchItemOptions{}
	if r := &c.changes[i]; r.Op == lineage.Replace || r.Op == lineage.Delete && r.Record.Version != "" {
		etag := etagOf(r.Record.Version)
		match.IfMatchETag = &etag
	}
	switch c.changes[i].Op {
	case lineage.Create:
		b.CreateItem(c.items[i], nil)
	case lineage.Replace:
		b.ReplaceItem(c.names[i], c.items[i], match)
	case lineage.Upsert:
		b.UpsertItem(c.items[i], nil)
	case lineage.Delete:
		b.DeleteItem(c.names[i], match)
	}
}

// noETag is none of the service's, which has no record at that version.
const noETag = azcore.ETag(`"00000000-0000-0000-0000-000000000000"`)

// etagOf makes a version a precondition. What can't be an ETag must not reach
// the service: an empty one would be no condition and * matches anything.
func etagOf(version string) azcore.ETag {
	const least, most = 3, 100
	if len(version) < least || len(version) > most || version[0] != '"' || version[len(version)-1] != '"' {
		return noETag
	}
	for _, c := range []byte(version[1 : len(version)-1]) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return noETag
		}
	}
	return azcore.ETag(version)
}

// blame finds the operation that made a batch fail: all others have 424. An
// answer without one leaves in doubt what happened.
func blame(results []azcosmos.TransactionalBatchResult, owners []int) error {
	for i, r := range results {
		if r.StatusCode != http.StatusFailedDependency && i < len(owners) {
			return &operationError{owners[i], int(r.StatusCode)}
		}
	}
	return fmt.Errorf("a failed batch of %d operations has %d results and no cause", len(owners), len(results))
}

// versions reads the ETags of a batch that succeeded. Without them the commit
// is made and cannot be told about: reading back will.
func (c *commit) versions(results []azcosmos.TransactionalBatchResult, owners []int) ([]string, error) {
	if len(results) != len(owners) {
		return nil, fmt.Errorf("a batch of %d operations has %d results", len(owners), len(results))
	}
	versions := make([]string, len(c.changes))
	for i, r := range results {
		if owner := owners[i]; c.changes[owner].Op != lineage.Delete {
			versions[owner] = string(r.ETag)
		}
	}
	return versions, nil
}
