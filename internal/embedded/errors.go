package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

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

// refuseLogAlone answers ErrCorrupt when there is a log with content and no
// file that it belongs to. SQLite would take that for an empty database and
// delete the log. No kill leads there: the log gets its first byte when the
// file's first page is durable.
func refuseLogAlone(path string) error {
	file, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the database file: %w", err)
	}
	if err == nil && file.Size() > 0 {
		return nil
	}
	what := "is missing"
	if err == nil {
		what = "is empty"
	}
	log, err := os.Stat(path + "-wal")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at the database's log: %w", err)
	case log.Size() == 0:
		return nil
	}
	return fmt.Errorf("%s: %w: the file %s, but its log %s-wal holds %d bytes; the log alone is not enough. "+
		"If the file was moved, put it back beside its log. If not, move the -wal and -shm files away, then restore a backup or start empty",
		path, ErrCorrupt, what, path, log.Size())
}
