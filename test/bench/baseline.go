package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	_ "modernc.org/sqlite" // the driver of the glue, the one without cgo
)

// baselineCommand is how this program starts itself as a baseline server.
const baselineCommand = "baseline-server"

// runBaseline serves one of the baselines until it is told to end:
//
//	bare  net/http that decodes the batch and keeps nothing: the ceiling
//	glue  the CloudEvents SDK and one SQLite transaction per request: what a
//	      team would write in an afternoon, without a mistake
func runBaseline(args []string) error {
	f := flag.NewFlagSet(baselineCommand, flag.ContinueOnError)
	kind := f.String("kind", "bare", "bare or glue")
	data := f.String("data", "", "folder of the glue's database")
	address := f.String("address-file", "", "where to write the address")
	if err := f.Parse(args); err != nil {
		return err
	}
	var events http.Handler = http.HandlerFunc(bare)
	if *kind == "glue" {
		g, err := openGlue(*data)
		if err != nil {
			return err
		}
		defer func() { _ = g.db.Close() }()
		events = g
	}
	mux := http.NewServeMux()
	mux.Handle("POST /events", events)
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	return serve(mux, *address)
}

func serve(h http.Handler, addressFile string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(addressFile, []byte("http://"+l.Addr().String()), 0o600); err != nil {
		return err
	}
	s := &http.Server{Handler: h}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bareEvent is the envelope; what the event is about stays as it came.
type bareEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Subject     string          `json:"subject"`
	Type        string          `json:"type"`
	Time        string          `json:"time"`
	Data        json.RawMessage `json:"data"`
}

func bare(w http.ResponseWriter, r *http.Request) {
	var events []bareEvent
	var err error
	if cloudevents.IsHTTPBatch(r.Header) {
		err = json.NewDecoder(r.Body).Decode(&events)
	} else {
		events = make([]bareEvent, 1)
		err = json.NewDecoder(r.Body).Decode(&events[0])
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	accepted(w, len(events))
}

func accepted(w http.ResponseWriter, n int) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(strconv.AppendInt(nil, int64(n), 10))
}

// glue writes one row per event and one transaction per request. It is meant
// to be good: a prepared statement, one writing connection so that nobody
// meets a busy database, a table without an index beside the row's number.
type glue struct {
	db     *sql.DB
	insert *sql.Stmt
}

const glueFile = "glue.db"

func glueDSN(dir string) string {
	return "file:" + filepath.Join(dir, glueFile) + "?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(10000)&_txlock=immediate"
}

func openGlue(dir string) (*glue, error) {
	db, err := sql.Open("sqlite", glueDSN(dir))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS events (
		seq INTEGER PRIMARY KEY, id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL,
		subject TEXT NOT NULL, time TEXT NOT NULL, data BLOB NOT NULL)`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	insert, err := db.Prepare("INSERT INTO events (id, source, type, subject, time, data) VALUES (?, ?, ?, ?, ?, ?)")
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &glue{db, insert}, nil
}

// ServeHTTP implements http.Handler.
func (g *glue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	events, err := receive(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := g.store(r.Context(), events); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	accepted(w, len(events))
}

// receive is the SDK's way to read a request, single or batch. Its ready-made
// receiver (NewHTTPReceiveHandler) is slower and reads no batches.
func receive(r *http.Request) ([]cloudevents.Event, error) {
	if cloudevents.IsHTTPBatch(r.Header) {
		return cloudevents.NewEventsFromHTTPRequest(r)
	}
	e, err := cloudevents.NewEventFromHTTPRequest(r)
	if err != nil {
		return nil, err
	}
	return []cloudevents.Event{*e}, nil
}

func (g *glue) store(ctx context.Context, events []cloudevents.Event) error {
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	insert := tx.StmtContext(ctx, g.insert)
	for i := range events {
		e := &events[i]
		if err := e.Validate(); err != nil {
			return err
		}
		_, err := insert.ExecContext(ctx, e.ID(), e.Source(), e.Type(), e.Subject(), e.Time().UTC().Format("2006-01-02T15:04:05.0000000Z"), e.Data())
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// glueRows counts what the glue kept.
func glueRows(ctx context.Context, dir string) (n int, err error) {
	db, err := sql.Open("sqlite", glueDSN(dir))
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM events").Scan(&n); err != nil {
		return 0, fmt.Errorf("count the rows of the glue: %w", err)
	}
	return n, nil
}
