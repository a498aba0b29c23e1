package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// crashCopy copies an open folder, as a kill would leave it.
func crashCopy(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(from, embedded.FileName+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, embedded.FileName+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestOpenRefusesALogAlone loses the file of a database that was killed and
// keeps its log, which must not be touched.
func TestOpenRefusesALogAlone(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	record(t, h.db, "a", "x")
	for _, c := range []struct {
		name string
		lose func(path string) error
		says string
	}{
		{"the file is missing", os.Remove, "the file is missing"},
		{"the file is empty", func(path string) error { return os.Truncate(path, 0) }, "the file is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := crashCopy(t, h.options.Dir)
			path := filepath.Join(dir, embedded.FileName)
			before := size(t, path+"-wal")
			if err := c.lose(path); err != nil {
				t.Fatal(err)
			}
			_, err := embedded.Open(t.Context(), embedded.Options{Dir: dir})
			if !errors.Is(err, embedded.ErrCorrupt) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "restore a backup") {
				t.Errorf("open answers %v", err)
			}
			if err := embedded.Backup(t.Context(), dir, filepath.Join(t.TempDir(), "b.db"), nil); err == nil {
				t.Error("a backup was made of a log alone")
			}
			if after := size(t, path+"-wal"); before == 0 || after != before {
				t.Errorf("the log had %d bytes and has %d", before, after)
			}
			if err := os.Remove(path + "-wal"); err != nil {
				t.Fatal(err)
			}
			openHarness(t, embedded.Options{Dir: dir})
		})
	}
}

// TestFirstStartNeverLeavesALogAlone looks at a new folder before anything
// was copied from the log into the file.
func TestFirstStartNeverLeavesALogAlone(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	dir := crashCopy(t, h.options.Dir)
	path := filepath.Join(dir, embedded.FileName)
	if file, log := size(t, path), size(t, path+"-wal"); file < 4096 || log == 0 {
		t.Errorf("the file has %d bytes, the log %d; want a page in the file and the schema in the log", file, log)
	}
	record(t, h.db, "a", "x")
	copied := openHarness(t, embedded.Options{Dir: crashCopy(t, h.options.Dir)})
	if got := recorded(t, copied.db, "a"); got != "x" {
		t.Errorf("the copy has %q", got)
	}
	openHarness(t, embedded.Options{Dir: dir})
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestBadCursorsAreTold(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	for _, cursor := range []string{"nonsense", "-1", "0", "01", "AAAA"} {
		if _, _, err := h.DeadLetters().ListDead(t.Context(), cursor, 10); !errors.Is(err, lineage.ErrBadCursor) {
			t.Errorf("the dead letters answer %q with %v", cursor, err)
		}
		if _, err := h.Store().List(t.Context(), lineage.Query{Partition: "p", Cursor: cursor}); !errors.Is(err, lineage.ErrBadCursor) {
			t.Errorf("the records answer %q with %v", cursor, err)
		}
	}
}
