package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// record writes one record, so that a file has something to lose.
func record(t *testing.T, db *embedded.DB, id, body string) {
	t.Helper()
	_, err := db.Store().Commit(t.Context(), "p", []lineage.Change{{Op: lineage.Upsert, Record: lineage.Record{ID: id, Body: []byte(body)}}})
	if err != nil {
		t.Fatal(err)
	}
}

func recorded(t *testing.T, db *embedded.DB, id string) string {
	t.Helper()
	rs, err := db.Store().Get(t.Context(), "p", id)
	if err != nil {
		t.Fatal(err)
	}
	return string(rs[0].Body)
}

func TestOpenCreatesForTheOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	openHarness(t, embedded.Options{Dir: dir})
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, embedded.FileName): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode().Perm(), want)
		}
	}
}

func TestOpenRefusesBadOptions(t *testing.T) {
	for _, o := range []embedded.Options{
		{}, {Lease: -1}, {MaxDeliveries: -1}, {MaxDeliveries: 201}, {MaxLeased: -1}, {MaxMessage: -1}, {MaxMessage: 1 << 30},
	} {
		if o != (embedded.Options{}) {
			o.Dir = t.TempDir()
		}
		if db, err := embedded.Open(t.Context(), o); err == nil {
			t.Errorf("%+v was accepted", o)
			_ = db.Close()
		}
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	_, err := embedded.Open(t.Context(), h.options)
	if !errors.Is(err, embedded.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("got %v", err)
	}
	h.Reopen(t)
}

func TestOpenRefusesWhatIsNotOurs(t *testing.T) {
	for _, c := range []struct {
		name      string
		statement string
		want      error
	}{
		{"another application's file", "PRAGMA application_id=42", embedded.ErrForeign},
		{"a newer schema", fmt.Sprintf("PRAGMA user_version=%d", embedded.Migrations+1), embedded.ErrNewer},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			h := &harness{options: embedded.Options{Dir: dir}}
			h.open(t)
			h.Close(t)
			if err := embedded.Alter(filepath.Join(dir, embedded.FileName), c.statement); err != nil {
				t.Fatal(err)
			}
			if _, err := embedded.Open(t.Context(), h.options); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestOpenRefusesDamage overwrites parts of a file with records and messages.
func TestOpenRefusesDamage(t *testing.T) {
	for _, offset := range []int64{0, 100, 4096, 3 * 4096} {
		t.Run(fmt.Sprint("at ", offset), func(t *testing.T) {
			dir := t.TempDir()
			h := &harness{options: embedded.Options{Dir: dir}}
			h.open(t)
			for i := range 200 {
				record(t, h.db, fmt.Sprint(i), strings.Repeat("x", 500))
			}
			h.Close(t)
			f, err := os.OpenFile(filepath.Join(dir, embedded.FileName), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt([]byte(strings.Repeat("\xa5", 2000)), offset)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			_, err = embedded.Open(t.Context(), h.options)
			if !errors.Is(err, embedded.ErrCorrupt) || !strings.Contains(err.Error(), "restore a backup") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestOpenHonoursTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := embedded.Open(ctx, embedded.Options{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCloseTwiceAndLeaveNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	db, err := embedded.Open(t.Context(), embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	record(t, db, "a", "x")
	for range 2 {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, embedded.FileName+"-wal")); !os.IsNotExist(err) {
		t.Errorf("the log was left behind: %v", err)
	}
}

func TestHealthy(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	if err := h.db.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	h.Close(t)
	if err := h.db.Healthy(t.Context()); !errors.Is(err, lineage.ErrClosed) {
		t.Errorf("closed, and healthy says %v", err)
	}
}

// TestHealthRecoversWithoutTraffic: nobody sends to an unhealthy store, so it
// must find out itself that there is room again.
func TestHealthRecoversWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openHarness(t, embedded.Options{})
		if err := h.db.LimitPages(30); err != nil {
			t.Fatal(err)
		}
		if err := h.Queue().Send(t.Context(), messages(1, 1<<20)); err == nil {
			t.Fatal("a full disk took a message")
		}
		if err := errors.Join(h.db.LimitPages(0), h.db.Healthy(t.Context())); err == nil {
			t.Error("healthy right after a fault")
		}
		time.Sleep(10 * time.Second)
		if err := h.db.Healthy(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDisk lets the disk be full while messages are leased: what fails
// says so, and nothing is lost when there is room again.
func TestFullDisk(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	q := h.Queue()
	if err := q.Send(t.Context(), []lineage.Message{{ID: "a", Body: []byte("a")}, {ID: "b", Body: []byte("b")}}); err != nil {
		t.Fatal(err)
	}
	leased, err := q.Receive(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.db.LimitPages(30); err != nil {
		t.Fatal(err)
	}
	err = q.Send(t.Context(), []lineage.Message{{ID: "c", Body: make([]byte, 1<<20)}})
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("send on a full disk answers %v", err)
	}
	if err := h.db.Healthy(t.Context()); err == nil {
		t.Error("healthy on a full disk")
	}
	if err := h.db.LimitPages(0); err != nil {
		t.Fatal(err)
	}
	// The failed group cost the lease: the message comes again.
	err = q.Settle(t.Context(), []lineage.Settlement{{Lease: leased[0].Lease}})
	if !errors.Is(err, lineage.ErrLeaseLost) {
		t.Errorf("settle answers %v", err)
	}
	if there := drain(t, q); len(there) != 2 || there[leased[0].ID] != 2 {
		t.Errorf("there were %v", there)
	}
	if err := h.db.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBackup(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	record(t, h.db, "a", "before")
	for i := range 300 {
		record(t, h.db, fmt.Sprint(i), strings.Repeat("x", 1<<15))
	}
	dir := t.TempDir()
	path := filepath.Join(dir, embedded.FileName)
	steps := 0
	err := h.db.Backup(t.Context(), path, func(done, total int) {
		steps++
		record(t, h.db, "a", "meanwhile")
		if done > total {
			t.Errorf("%d of %d pages done", done, total)
		}
	})
	if err != nil || steps < 2 {
		t.Fatalf("%v after %d steps", err, steps)
	}
	if err := h.db.Backup(t.Context(), path, nil); err == nil {
		t.Error("a backup overwrote another")
	}
	copied := openHarness(t, embedded.Options{Dir: dir})
	if got := recorded(t, copied.db, "a"); got != "before" {
		t.Errorf("the copy has %q", got)
	}
	if got := recorded(t, h.db, "a"); got != "meanwhile" {
		t.Errorf("the original has %q", got)
	}
}

func TestCancelledBackupLeavesNothing(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	for i := range 300 {
		record(t, h.db, fmt.Sprint(i), strings.Repeat("x", 1<<15))
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err := h.db.Backup(ctx, filepath.Join(dir, "b.db"), func(int, int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestBackupRefusesDamage damages a page that the copying itself does not
// look at.
func TestBackupRefusesDamage(t *testing.T) {
	h := &harness{options: embedded.Options{Dir: t.TempDir()}}
	h.open(t)
	for i := range 200 {
		record(t, h.db, fmt.Sprint(i), strings.Repeat("x", 500))
	}
	h.Close(t)
	f, err := os.OpenFile(filepath.Join(h.options.Dir, embedded.FileName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("\xa5", 2000)), 3*4096)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err = embedded.Backup(t.Context(), h.options.Dir, filepath.Join(dir, "b.db"), nil)
	if !errors.Is(err, embedded.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestCloseEndsBackup(t *testing.T) {
	h := openHarness(t, embedded.Options{})
	for i := range 300 {
		record(t, h.db, fmt.Sprint(i), strings.Repeat("x", 1<<15))
	}
	closed := make(chan error, 1)
	path := filepath.Join(t.TempDir(), "b.db")
	started := false
	err := h.db.Backup(t.Context(), path, func(int, int) {
		if !started {
			started = true
			go func() { closed <- h.db.Close() }()
			for h.db.Healthy(t.Context()) == nil {
				time.Sleep(0)
			}
		}
	})
	if !errors.Is(err, lineage.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := h.db.Backup(t.Context(), path, nil); !errors.Is(err, lineage.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
