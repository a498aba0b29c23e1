package cosmos

import (
	"context"
	"encoding/json"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// marks reads which commit wrote the items of the given ids; those that do
// not exist are not in the map.
func (c *conn) marks(ctx context.Context, pk string, ids []string) (map[string]item, error) {
	there := make(map[string]item, len(ids))
	_, err := c.query(ctx, pk, selectIDs("c.id, c.w, c._etag", ids), func(items [][]byte) (enough bool, err error) {
		for _, raw := range items {
			var it item
			if err := json.Unmarshal(raw, &it); err != nil {
				return false, finalError{err}
			}
			there[it.ID] = it
		}
		return false, nil
	})
	return there, err
}

// landed finds out whether a try whose answer was lost took effect: nil
// versions say that it did not, as far as can be told. A batch is atomic, so
// one record with the mark proves it all. A commit that only deletes leaves
// no mark: it took effect if nothing is there.
func (c *commit) landed(ctx context.Context, conn *conn) ([]string, error) {
	there, err := conn.marks(ctx, c.pk, c.names)
	if err != nil {
		return nil, err
	}
	writes, ours := 0, 0
	for i := range c.changes {
		if c.changes[i].Op == lineage.Delete {
			continue
		}
		writes++
		if there[c.names[i]].Mark == c.mark {
			ours++
		}
	}
	if ours == 0 && (writes > 0 || len(there) > 0) {
		return nil, nil
	}
	c.store.options.Logger.Info("a commit whose answer was lost had taken effect", zap.String("partition", c.partition))
	return c.landedVersions(there), nil
}

// landedVersions are those that the commit gave. Where somebody else has
// written since, ours is lost and not needed: any that is no record's will
// meet the conflict that ours would.
func (c *commit) landedVersions(there map[string]item) []string {
	versions := make([]string, len(c.changes))
	for i := range c.changes {
		if c.changes[i].Op == lineage.Delete {
			continue
		}
		versions[i] = `"` + c.mark + `"`
		if it := there[c.names[i]]; it.Mark == c.mark {
			versions[i] = it.ETag
		}
	}
	return versions
}
