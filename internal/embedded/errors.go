package embedded

import (
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
)

// Errors of Open. Each comes wrapped in a sentence that names the path and
// says what to do.
var (
	// ErrInUse means that another process (or another DB of this one) has
	// the folder open.
	ErrInUse = errors.New("folder is in use")
	// ErrCorrupt means that the file's content is damaged.
	ErrCorrupt = errors.New("database file is damaged")
	// ErrForeign means that the file is not a Modelwarden database.
	ErrForeign = errors.New("not a Modelwarden database")
	// ErrNewer means that a newer Modelwarden wrote the file.
	ErrNewer = errors.New("database file is from a newer version")
)

// explain turns SQLite's result codes that an operator can act upon into
// errors that say so. Everything else passes unchanged.
func explain(path string, err error) error {
	if err == nil {
		return nil
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return corrupt(path, err.Error())
	case sqlite.ResultFull:
		return fmt.Errorf("%s: no space left on the disk, free some and try again: %w", path, err)
	case sqlite.ResultReadOnly, sqlite.ResultPerm, sqlite.ResultCantOpen:
		return fmt.Errorf("%s: cannot be opened or written, check owner and permissions of the folder: %w", path, err)
	}
	return err
}

// corrupt makes the error for a damaged file.
func corrupt(path, detail string) error {
	return fmt.Errorf("%s: %w: %s; stop the process, keep a copy of the file with its -wal, then restore a backup or try `sqlite3 %s .recover`",
		path, ErrCorrupt, detail, path)
}
