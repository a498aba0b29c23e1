package porttest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// StoreHarness is one open store of the backend under test.
type StoreHarness interface {
	// Store is the open store.
	Store() lineage.Store
	// Advance lets time pass for the backend.
	Advance(d time.Duration)
	// Reopen closes the store and opens the same one again. Store is new
	// afterwards.
	Reopen(t *testing.T)
	// Close closes the store; the law goes on using it.
	Close(t *testing.T)
}

// StoreBackend is how the suite opens a store. Open registers its own
// clean-up with t.
type StoreBackend struct {
	Around Around
	Open   func(t *testing.T) StoreHarness
	// Lossy says that the backend's own requests fail in this run and that
	// answers get lost, so that a delete with a version that finds nothing
	// may be taken for the trace of its own first try. Every other law holds
	// all the same.
	Lossy bool
}

// storeLaw is what a law works with.
type storeLaw struct {
	*testing.T
	StoreHarness
	ctx   context.Context
	lossy bool
}

// Store holds a backend to the contract of lineage.Store.
func Store(t *testing.T, backend StoreBackend) {
	laws := []struct {
		name string
		law  func(*storeLaw)
	}{
		{"what was written is read", lawWritten},
		{"what is not there has no version", lawAbsent},
		{"arbitrary bodies survive", lawBodies},
		{"any UTF-8 names a record", lawNames},
		{"a store retains nothing that it was given", lawRetainsNothing},
		{"create refuses what exists", lawCreate},
		{"replace needs the current version", lawReplace},
		{"replace refuses what is not there", lawReplaceAbsent},
		{"upsert always writes", lawUpsert},
		{"delete with a version needs it", lawDelete},
		{"delete without a version removes whatever is there", lawDeleteAny},
		{"delete without a version goes with anything in a commit", lawDeleteAbsent},
		{"a version never comes twice", lawVersions},
		{"a version never comes twice over a reopen", lawVersionsReopen},
		{"a commit is all or nothing", lawAtomic},
		{"a change error names the change", lawChangeError},
		{"partitions do not see each other", lawPartitions},
		{"one of many creators wins", lawOneCreator},
		{"one of many swappers wins each round", lawOneSwapper},
		{"readers never see half a commit", lawNoHalf},
		{"commits survive a reopen", lawStoreReopen},
		{"a commit at the limits fits", lawCommitLimits},
		{"a commit at the limits fits whatever is in it", lawCommitWorst},
		{"a commit beyond the limits is refused", lawCommitTooLarge},
		{"a commit without changes changes nothing", lawEmptyCommit},
		{"an expired record gives way", lawExpired},
		{"a record is there until it expires", lawNotExpired},
		{"a list is in order", lawListOrder},
		{"a list by sort leaves out what has none", lawListSort},
		{"a list keeps to its prefix and bounds", lawListBounds},
		{"pages add up to the whole", lawPages},
		{"pages are stable while others write", lawStablePages},
		{"a list refuses bad limits", lawListLimits},
		{"a list has a default limit", lawListDefault},
		{"a list refuses a cursor that is none", lawBadCursor},
		{"a changed sort key moves the record", lawSortMoves},
		{"a cancelled context ends every call", lawStoreCancelled},
		{"a closed store says so", lawStoreClosed},
	}
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			backend.Around.run(t, func(t *testing.T) {
				l.law(&storeLaw{T: t, StoreHarness: backend.Open(t), ctx: t.Context(), lossy: backend.Lossy})
			})
		})
	}
}

func (l *storeLaw) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// commit makes changes that must succeed, to the partition "p".
func (l *storeLaw) commit(changes ...lineage.Change) []string {
	l.Helper()
	versions, err := l.Store().Commit(l.ctx, "p", changes)
	l.must(err)
	if len(versions) != len(changes) {
		l.Fatalf("%d versions for %d changes", len(versions), len(changes))
	}
	return versions
}

// refused makes changes that must fail with want.
func (l *storeLaw) refused(want error, changes ...lineage.Change) {
	l.Helper()
	if _, err := l.Store().Commit(l.ctx, "p", changes); !errors.Is(err, want) {
		l.Fatalf("got %v, want %v", err, want)
	}
}

// get reads one record of the partition "p".
func (l *storeLaw) get(id string) lineage.Record {
	l.Helper()
	rs, err := l.Store().Get(l.ctx, "p", id)
	l.must(err)
	if len(rs) != 1 {
		l.Fatalf("%d records for one id", len(rs))
	}
	return rs[0]
}

// holds checks a record's body; nil means that there must be none.
func (l *storeLaw) holds(id string, body []byte) {
	l.Helper()
	r := l.get(id)
	switch {
	case body == nil && r.Version != "":
		l.Fatalf("%s exists: %+v", id, r)
	case body != nil && (r.Version == "" || !bytes.Equal(r.Body, body)):
		l.Fatalf("%s is %+v, want the body %q", id, r, body)
	}
}

func change(op lineage.Op, id, body, version string) lineage.Change {
	return lineage.Change{Op: op, Record: lineage.Record{ID: id, Body: []byte(body), Version: version}}
}

func create(id, body string) lineage.Change { return change(lineage.Create, id, body, "") }
func upsert(id, body string) lineage.Change { return change(lineage.Upsert, id, body, "") }
func remove(id string) lineage.Change       { return change(lineage.Delete, id, "", "") }
