package embedded

import (
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"
)

// applicationID marks the file as Modelwarden's in SQLite's header ("MdlW").
const applicationID = 0x4d646c57

// migrations lead from one schema version to the next; PRAGMA user_version
// counts those that were applied. A shipped migration is never edited: a
// change of schema is a new entry at the end.
var migrations = []string{
	`CREATE TABLE segments (
		seq   INTEGER PRIMARY KEY,
		count INTEGER NOT NULL,
		codec INTEGER NOT NULL,
		data  BLOB    NOT NULL
	) STRICT;
	CREATE TABLE segment_states (
		seq   INTEGER PRIMARY KEY,
		state BLOB    NOT NULL
	) STRICT;
	CREATE TABLE delayed (
		key     INTEGER PRIMARY KEY,
		due     INTEGER NOT NULL,
		attempt INTEGER NOT NULL,
		data    BLOB    NOT NULL
	) STRICT;
	CREATE INDEX delayed_due ON delayed (due);
	CREATE TABLE dead (
		key         INTEGER PRIMARY KEY AUTOINCREMENT,
		attempt     INTEGER NOT NULL,
		died        INTEGER NOT NULL,
		reason      TEXT    NOT NULL,
		description TEXT    NOT NULL,
		data        BLOB    NOT NULL
	) STRICT;
	CREATE TABLE records (
		key       INTEGER PRIMARY KEY,
		partition TEXT    NOT NULL,
		id        TEXT    NOT NULL,
		sort      TEXT,
		version   INTEGER NOT NULL,
		expires   INTEGER,
		body      BLOB    NOT NULL
	) STRICT;
	CREATE UNIQUE INDEX records_id ON records (partition, id);
	CREATE INDEX records_sort ON records (partition, sort, id) WHERE sort IS NOT NULL;
	CREATE INDEX records_expires ON records (expires) WHERE expires IS NOT NULL;
	CREATE TABLE counters (
		key      INTEGER PRIMARY KEY CHECK (key = 1),
		live     INTEGER NOT NULL,
		delayed  INTEGER NOT NULL,
		dead     INTEGER NOT NULL,
		versions INTEGER NOT NULL
	) STRICT;
	INSERT INTO counters VALUES (1, 0, 0, 0, 0);`,
}

// prepare makes a fresh or existing file ready for this version: checks whose
// it is, how old, whether it is whole, and migrates.
func prepare(c *conn, path string) error {
	err := c.each(
		fmt.Sprintf("PRAGMA page_size=%d", pageSize),
		"PRAGMA synchronous=full",
		// In a new file this writes the first page, flushed before there is a log.
		"PRAGMA journal_mode=wal",
		fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", logPages),
		fmt.Sprintf("PRAGMA journal_size_limit=%d", 2*logPages*pageSize),
	)
	if err != nil {
		return explain(path, err)
	}
	version, err := identify(c, path)
	if err != nil {
		return err
	}
	if version > 0 {
		if err := quickCheck(c, path); err != nil {
			return err
		}
	}
	return migrate(c, path, version)
}

// identify returns the file's schema version, 0 for an empty file.
func identify(c *conn, path string) (int, error) {
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return 0, explain(path, err)
	}
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return 0, explain(path, err)
	}
	tables, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return 0, explain(path, err)
	}
	switch {
	case tables == 0 && id == 0 && version == 0:
		return 0, nil
	case id != applicationID:
		return 0, fmt.Errorf("%s: %w; move it away or choose another folder", path, ErrForeign)
	case version > int64(len(migrations)):
		return 0, fmt.Errorf("%s: %w (schema %d, this program knows %d); upgrade Modelwarden or restore an older backup",
			path, ErrNewer, version, len(migrations))
	}
	return int(version), nil
}

// quickCheckPages bounds the check at start: 64 MiB take well below 300 ms.
const quickCheckPages = 64 << 20 / pageSize

// quickCheck reads every page of a small file and the structure of the queue's
// and counters' tables of a large one. Damage elsewhere in a large file is
// found when it is read: every page's structure is verified by SQLite then.
func quickCheck(c *conn, path string) error {
	pages, err := c.number("PRAGMA page_count")
	if err != nil {
		return explain(path, err)
	}
	if pages <= quickCheckPages {
		return check(c, path, "PRAGMA quick_check(3)")
	}
	for _, table := range []string{"counters", "segment_states"} {
		if err := check(c, path, "PRAGMA quick_check("+table+")"); err != nil {
			return err
		}
	}
	return nil
}

func check(c *conn, path, pragma string) error {
	var found []string
	err := c.once(pragma, func(st *sqlite.Stmt) error {
		if s := st.ColumnText(0); s != "ok" {
			found = append(found, s)
		}
		return nil
	})
	if err != nil {
		return explain(path, err)
	}
	if len(found) > 0 {
		return corrupt(path, strings.Join(found, "; "))
	}
	return nil
}

// migrate applies what is missing, each migration in its own transaction.
func migrate(c *conn, path string, from int) error {
	for v := from; v < len(migrations); v++ {
		steps := []string{"BEGIN IMMEDIATE"}
		for s := range strings.SplitSeq(migrations[v], ";") {
			if s = strings.TrimSpace(s); s != "" {
				steps = append(steps, s)
			}
		}
		steps = append(steps,
			fmt.Sprintf("PRAGMA application_id=%d", applicationID),
			fmt.Sprintf("PRAGMA user_version=%d", v+1),
			"COMMIT")
		if err := c.each(steps...); err != nil {
			if !c.AutocommitEnabled() {
				_ = c.each("ROLLBACK") // the first error says more
			}
			return fmt.Errorf("migrate to schema %d: %w", v+1, explain(path, err))
		}
	}
	return nil
}
