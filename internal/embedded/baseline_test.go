package embedded_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// What the benchmarks compare with: the same rows written through
// database/sql, as durable, the way a team would begin.

// openPlain opens a plain database with one connection.
func openPlain(b *testing.B, schema string) *sql.DB {
	b.Helper()
	path := filepath.Join(b.TempDir(), "plain.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		b.Fatal(err)
	}
	return db
}

// baselineTime is how long a baseline is measured.
const baselineTime = 700 * time.Millisecond

// rate calls do from several goroutines and answers calls per second.
func rate(b *testing.B, callers int, do func(tx *sql.Tx) error, db *sql.DB) float64 {
	b.Helper()
	var calls atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for time.Since(start) < baselineTime {
				if err := inTransaction(db, do); err != nil {
					b.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(calls.Load()) / time.Since(start).Seconds()
}

func inTransaction(db *sql.DB, do func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// plainSends is the rate of messages sent in one transaction per call.
func plainSends(b *testing.B, batch int) float64 {
	b.Helper()
	db := openPlain(b, "CREATE TABLE messages (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, body BLOB NOT NULL)")
	insert, err := db.Prepare("INSERT INTO messages (id, body) VALUES (?, ?)")
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 1024)
	rand.Read(body)
	return float64(batch) * rate(b, 32, func(tx *sql.Tx) error {
		st := tx.Stmt(insert)
		for range batch {
			if _, err := st.Exec("event", body); err != nil {
				return err
			}
		}
		return nil
	}, db)
}

// plainCommits is the rate of commits of BenchmarkCommit's shape: group of
// them in one transaction.
func plainCommits(b *testing.B, partitions, group, callers int) float64 {
	b.Helper()
	db := openPlain(b, `
		CREATE TABLE records (partition TEXT NOT NULL, id TEXT NOT NULL, sort TEXT, version INTEGER NOT NULL, body BLOB NOT NULL,
			PRIMARY KEY (partition, id)) WITHOUT ROWID;
		CREATE INDEX records_sort ON records (partition, sort, id)`)
	write, err := db.Prepare(`INSERT INTO records VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (partition, id) DO UPDATE SET sort = excluded.sort, version = excluded.version, body = excluded.body`)
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 700)
	rand.Read(body)
	n := 0
	return float64(group) * rate(b, callers, func(tx *sql.Tx) error {
		st := tx.Stmt(write)
		for range group {
			n++
			p := fmt.Sprintf("model/contoso-ml/churn/%d", n*7919%partitions)
			if _, err := st.Exec(p, fmt.Sprintf("event/%d", n), fmt.Sprintf("%012d", n), n, body); err != nil {
				return err
			}
			if _, err := st.Exec(p, "asset", "asset", n, body); err != nil {
				return err
			}
		}
		return nil
	}, db)
}
