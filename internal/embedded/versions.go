package embedded

import (
	"strconv"

	"zombiezen.com/go/sqlite"
)

// versionBlock is how many versions one write to the counters reserves.
const versionBlock = 1 << 20

// versions numbers the writes of all records, so that a version never comes
// twice, not even for a record that was deleted and created again. Numbers
// are reserved in blocks: what a crash leaves of a block is skipped.
type versions struct {
	next, reserved int64
}

// load continues behind the last reserved block, or where memory already is:
// a block whose reservation was rolled back is reserved again.
func (v *versions) load(c *conn) error {
	n, err := c.number("SELECT versions FROM counters")
	if err != nil {
		return err
	}
	v.reserved = n
	v.next = max(v.next, n)
	return nil
}

// take returns a fresh version, within the open transaction.
func (v *versions) take(c *conn) (int64, error) {
	if v.next >= v.reserved {
		upTo := v.next + versionBlock
		err := c.run("UPDATE counters SET versions = ?", func(st *sqlite.Stmt) { st.BindInt64(1, upTo) })
		if err != nil {
			return 0, err
		}
		v.reserved = upTo
	}
	v.next++
	return v.next, nil
}

func formatVersion(v int64) string { return strconv.FormatInt(v, 36) }

// parseVersion answers 0, which no record has, for what is not a version.
func parseVersion(s string) int64 {
	v, err := strconv.ParseInt(s, 36, 64)
	if err != nil || v < 1 || formatVersion(v) != s {
		return 0
	}
	return v
}
