package cosmos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// maxRounds is how often records that do not fit one page are read to find
// them unchanged.
const maxRounds = 6

// Get implements lineage.Store. One record is a point read, several are one
// query, so that half a commit is never seen: within a page the service reads
// one snapshot, and what takes more pages is read again until nothing changed
// in between.
func (s *Store) Get(ctx context.Context, partition string, ids ...string) ([]lineage.Record, error) {
	if s.closed.Load() {
		return nil, lineage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found := map[string]lineage.Record{}
	var err error
	switch distinct := slices.Compact(slices.Sorted(slices.Values(ids))); len(distinct) {
	case 0:
	case 1:
		found, err = s.getOne(ctx, partition, distinct[0])
	default:
		found, err = s.getSeveral(ctx, partition, distinct)
	}
	if err != nil {
		return nil, fmt.Errorf("get from %s: %w", partition, err)
	}
	return inOrder(partition, ids, found), nil
}

// inOrder gives one record for each id. An id that comes twice gets a body of
// its own.
func inOrder(partition string, ids []string, found map[string]lineage.Record) []lineage.Record {
	records := make([]lineage.Record, len(ids))
	given := map[string]bool{}
	for i, id := range ids {
		r, ok := found[id]
		if !ok {
			r = lineage.Record{Partition: partition, ID: id}
		}
		if given[id] {
			r.Body = slices.Clone(r.Body)
		}
		given[id] = true
		records[i] = r
	}
	return records
}

func (s *Store) getOne(ctx context.Context, partition, id string) (map[string]lineage.Record, error) {
	pk, _ := encodeName(partition)
	name, _ := encodeName(id)
	var raw []byte
	err := s.retry(ctx, opGet, func(ctx context.Context, c *conn) (err error) {
		raw, err = c.read(ctx, pk, name)
		return err
	})
	if err != nil || raw == nil {
		return nil, err
	}
	r, _, err := decodeItem(partition, raw)
	return map[string]lineage.Record{id: r}, err
}

// errUnsteady means that records were written all the while they were read.
var errUnsteady = errors.New("the records kept changing while they were read")

func (s *Store) getSeveral(ctx context.Context, partition string, ids []string) (map[string]lineage.Record, error) {
	var before map[string]lineage.Record
	for range maxRounds {
		found, pages, err := s.round(ctx, partition, ids)
		if err != nil || pages <= 1 {
			return found, err
		}
		if before != nil && maps.EqualFunc(before, found, sameVersion) {
			return found, nil
		}
		before = found
	}
	return nil, errUnsteady
}

func sameVersion(a, b lineage.Record) bool { return a.Version == b.Version }

// round reads the records once and says how many pages it took.
func (s *Store) round(ctx context.Context, partition string, ids []string) (found map[string]lineage.Record, pages int, err error) {
	pk, _ := encodeName(partition)
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i], _ = encodeName(id)
	}
	err = s.retry(ctx, opGet, func(ctx context.Context, c *conn) error {
		found, pages = make(map[string]lineage.Record, len(ids)), 0
		_, err := c.query(ctx, pk, selectIDs("*", names), func(items [][]byte) (enough bool, err error) {
			pages++
			return false, decodeInto(found, partition, items)
		})
		return err
	})
	return found, pages, err
}

func decodeInto(found map[string]lineage.Record, partition string, items [][]byte) error {
	for _, raw := range items {
		r, _, err := decodeItem(partition, raw)
		if err != nil {
			return err
		}
		found[r.ID] = r
	}
	return nil
}
