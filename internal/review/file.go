package review

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Records of one cause's partition.
const (
	partitionPrefix = "review/"
	headRecord      = "current"
	reviewPrefix    = "r/"
	keyPrefix       = "key/"
)

// keyRetention is how long the desk knows a key again. No retry of an action
// comes later than that: attempts end within days.
const keyRetention = 90 * 24 * time.Hour

// head is the record that says which review of a cause is the newest, and
// when the cause last passed.
type head struct {
	Cause string `json:"cause"`
	// Number of the newest review; 0 while there is none.
	Number int     `json:"number"`
	Pass   Passing `json:"pass,omitzero"`
	// Joined is the review that the cause's signals go on in, while that one is
	// not resolved.
	Joined *joined `json:"joined,omitempty"`
}

// joined names a review and its cause.
type joined struct {
	Review string `json:"review"`
	Cause  string `json:"cause"`
}

// filed is the body of a key's record.
type filed struct {
	Review string `json:"review"`
}

// file is one cause's partition while a call works on it.
type file struct {
	store  lineage.Store
	digest string

	head        head
	headVersion string
	// review is the loaded or started one, number its number; 0 is none.
	review Review
	number int
	// was is the review as it was read; none for one that is new.
	was Review
	// filedIn is the review that the asked-for key was filed in before.
	filedIn string
	// pending are the writes of the next commit besides the review's own.
	pending []lineage.Change
}

func newFile(store lineage.Store, digest string) *file {
	return &file{store: store, digest: digest}
}

func (f *file) partition() string { return partitionPrefix + f.digest }

func (f *file) isOpen() bool { return f.number > 0 && f.review.State != Resolved }

// load reads the head, the newest review and, if keys are given, where the
// first was filed.
func (f *file) load(ctx context.Context, keys ...string) error {
	ids := []string{headRecord}
	for _, k := range keys {
		ids = append(ids, keyPrefix+k)
	}
	records, err := f.store.Get(ctx, f.partition(), ids...)
	if err != nil {
		return fmt.Errorf("read reviews of a cause: %w", err)
	}
	f.headVersion = records[0].Version
	if err := decode(records[0], &f.head); err != nil {
		return err
	}
	for _, r := range records[1:] {
		var was filed
		if err := decode(r, &was); err != nil {
			return err
		}
		f.filedIn = was.Review
	}
	if f.head.Number == 0 {
		return nil
	}
	return f.loadNumber(ctx, f.head.Number)
}

// loadNumber reads the n-th review, or gives ErrNotFound.
func (f *file) loadNumber(ctx context.Context, n int) error {
	records, err := f.store.Get(ctx, f.partition(), reviewPrefix+strconv.Itoa(n))
	if err != nil {
		return fmt.Errorf("read review: %w", err)
	}
	if records[0].Version == "" {
		return fmt.Errorf("%w: %s", ErrNotFound, newID(f.digest, n))
	}
	f.number = n
	if err := decode(records[0], &f.review); err != nil {
		return err
	}
	f.review.Version = records[0].Version
	f.was = f.review
	return nil
}

// startReview makes the next review of the cause the newest.
func (f *file) startReview(s Signal, now time.Time) {
	previous := ""
	if f.number > 0 {
		previous = f.review.ID
	}
	f.number++
	f.head.Cause, f.head.Number = clip(s.Cause, maxText), f.number
	f.was, f.review = Review{}, opened(s, newID(f.digest, f.number), previous, now)
	f.writeHead()
}

// writeHead makes the commit write the head, once.
func (f *file) writeHead() {
	f.pending = slices.DeleteFunc(f.pending, func(c lineage.Change) bool { return c.Record.ID == headRecord })
	f.pending = append(f.pending, write(headRecord, f.headVersion, f.head))
}

// notePass keeps the newest pass and reports whether this is it. While the
// cause has no review, that memory need not last.
func (f *file) notePass(cause string, p Passing, now time.Time) bool {
	if !p.At.After(f.head.Pass.At) {
		return false
	}
	f.head.Cause, f.head.Pass = clip(cause, maxText), p
	c := write(headRecord, f.headVersion, f.head)
	if f.head.Number == 0 {
		c.Record.Expires = now.Add(keyRetention)
	}
	f.pending = append(f.pending, c)
	return true
}

// remember makes the commit note that the key was filed in the review.
func (f *file) remember(key string, now time.Time) {
	c := write(keyPrefix+key, "", filed{Review: f.review.ID})
	c.Record.Expires = now.Add(keyRetention)
	f.pending = append(f.pending, c)
}

// commit writes the review, if there is one, and all that is pending, at once.
func (f *file) commit(ctx context.Context) error {
	changes := f.pending
	if f.number > 0 {
		body := f.review
		body.Version = ""
		changes = append(changes, write(reviewPrefix+strconv.Itoa(f.number), f.review.Version, body))
	}
	versions, err := f.store.Commit(ctx, f.partition(), changes)
	if err != nil {
		return fmt.Errorf("write review %s: %w", newID(f.digest, f.number), err)
	}
	if f.number > 0 {
		f.review.Version = versions[len(versions)-1]
	}
	return nil
}

// commitHead writes what is pending and leaves the review as it is.
func (f *file) commitHead(ctx context.Context) error {
	_, err := f.store.Commit(ctx, f.partition(), f.pending)
	return err
}

// write is a create or, over a version, a replace.
func write(id, version string, body any) lineage.Change {
	// The bodies are this package's own structs of strings, numbers and
	// times: Marshal can't refuse them.
	b, _ := json.Marshal(body)
	op := lineage.Create
	if version != "" {
		op = lineage.Replace
	}
	return lineage.Change{Op: op, Record: lineage.Record{ID: id, Body: b, Version: version}}
}

// decode reads a record's body; a record that does not exist leaves v as it is.
func decode(r lineage.Record, v any) error {
	if r.Version == "" {
		return nil
	}
	if err := json.Unmarshal(r.Body, v); err != nil {
		return fmt.Errorf("stored record %s in %s is damaged: %w", r.ID, r.Partition, err)
	}
	return nil
}
