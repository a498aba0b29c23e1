package lineage

import (
	"context"
	"errors"
	"time"
)

// Record is one stored document. Partition and ID name it; Body is opaque to
// the Store.
type Record struct {
	// Partition is the unit of atomicity, at most 1,000 bytes.
	Partition string
	// ID is unique within the partition, at most 900 bytes, any UTF-8.
	// Listing by id is in byte order.
	ID string
	// Sort is a second, optional order within the partition: records that
	// have one can be listed by it, in byte order, ties by ID. At most 200
	// bytes. Records with an empty Sort do not appear in such a listing.
	Sort string
	// Body is at most 1 MiB.
	Body []byte
	// Version is set by the Store on every write: opaque, never "" for a
	// stored record, never the same twice for one record.
	Version string
	// Expires is when the Store may forget the record; zero is never. An
	// expired record may still be seen for a while.
	Expires time.Time
}

// Op is what a Change does.
type Op int

// Operations of a Change.
const (
	// Create writes a record that must not exist: ErrExists otherwise.
	Create Op = iota
	// Replace writes over the record whose version is Record.Version:
	// ErrConflict when it is another or the record does not exist.
	Replace
	// Upsert writes whether or not the record exists, whatever its version.
	Upsert
	// Delete removes the record whose version is Record.Version
	// (ErrConflict when it is another); with an empty version it removes
	// whatever is there, even nothing. A Store that lost the answer to a
	// first try may take it for the reason why the record is gone.
	Delete
)

// Change is one operation on one record of a commit. Record.Partition is
// ignored: the commit names the partition.
type Change struct {
	Op     Op
	Record Record
}

// Errors of a Store. Everything else is a fault of the Store's own: the
// caller may try again, and must expect that the first try took effect.
var (
	// ErrConflict means that a record was not at the expected version: read
	// again, decide again.
	ErrConflict = errors.New("version conflict")
	// ErrExists means that a record to create exists.
	ErrExists = errors.New("record exists")
)

// ChangeError names the change that made a commit fail; it wraps ErrConflict,
// ErrExists or ErrTooLarge.
type ChangeError struct {
	// Index of the change in the commit.
	Index int
	// ID of its record.
	ID  string
	Err error
}

// Error implements error.
func (e *ChangeError) Error() string { return "record " + e.ID + ": " + e.Err.Error() }

// Unwrap gives the cause to errors.Is.
func (e *ChangeError) Unwrap() error { return e.Err }

// Order is what a listing sorts by.
type Order int

// Orders of a listing.
const (
	ByID Order = iota
	BySort
)

// Query selects records of one partition.
type Query struct {
	Partition string
	Order     Order
	// Prefix keeps records whose order key (ID or Sort) begins with it.
	Prefix string
	// From and Until, if not empty, bound the order key: From <= key < Until.
	From, Until string
	// Descending turns the order round.
	Descending bool
	// Limit is at most 1000; 0 means 100.
	Limit int
	// Cursor continues a listing whose other fields are the same.
	Cursor string
}

// Page is part of a listing. Next is "" at the end. A page may be empty and
// still have a Next.
type Page struct {
	Records []Record
	Next    string
}

// Store keeps records in partitions. Every method is safe for concurrent use,
// returns promptly with the context's error when its context ends, and
// retains nothing the caller passes in; bodies it returns are the caller's.
// A Store retries faults that are safe to retry within the context's
// deadline, so callers do not wrap it in loops for anything but ErrConflict.
//
// The laws that every implementation keeps are executable: porttest.Store.
type Store interface {
	// Commit applies all changes to one partition at once, durably, or none
	// of them. At most 100 changes and 1.25 MiB of ids, sort keys and bodies
	// (see MaxChanges and its neighbours); no record twice. It returns the
	// new version of each record in order ("" for a Delete), or a
	// *ChangeError for the first change that could not be made.
	Commit(ctx context.Context, partition string, changes []Change) (versions []string, err error)

	// Get reads records of one partition by id, as of one moment or later:
	// the result has one entry per id in order; one that does not exist has
	// an empty Version.
	Get(ctx context.Context, partition string, ids ...string) ([]Record, error)

	// List reads part of one partition. Records written before the first
	// call are seen exactly once however many pages it takes; those written
	// or deleted meanwhile may be seen or not.
	List(ctx context.Context, q Query) (Page, error)
}
