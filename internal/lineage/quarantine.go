package lineage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Quarantined is something that was accepted and could not be understood. It
// is kept whole, with the reason, until somebody discards or replays it.
type Quarantined struct {
	// ID is "<digest>@<day>".
	ID string `json:"id"`
	// Reason is a short stable word, Detail a sentence.
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	// Properties are those of the message.
	Properties map[string]string `json:"properties,omitempty"`
	Received   time.Time         `json:"received"`
	// Size is the body's; Excerpt its first 2 KiB, as text.
	Size    int    `json:"size"`
	Excerpt string `json:"excerpt"`
	// Chunks counts the records that hold the body.
	Chunks int `json:"chunks"`
	// Page is the journal page that lists it.
	Page string `json:"page,omitempty"`
	// Replayed is when it was last sent again.
	Replayed time.Time `json:"replayed,omitzero"`
}

// ChunkBytes is how much of a large body one record holds.
const ChunkBytes = 1 << 20

const excerptBytes = 2 << 10

func quarantinePartition(day string) string { return "quarantine/" + day }

// Quarantine keeps a message that could not be understood, to be listed on the
// journal page. It is idempotent: the same body on the same day is kept once,
// and the first one is returned.
func Quarantine(ctx context.Context, store Store, m Message, p event.Problem, received time.Time, page string) (Quarantined, error) {
	day := received.UTC().Format(time.DateOnly)
	q := Quarantined{
		Reason: p.Reason, Detail: p.Detail, Properties: m.Properties, Received: received.UTC(), Page: page,
		Size: len(m.Body), Excerpt: strings.ToValidUTF8(string(m.Body[:min(len(m.Body), excerptBytes)]), "\uFFFD"),
	}
	digest := event.Digest(string(m.Body), p.Reason)
	q.ID = digest + "@" + day
	var err error
	if q.Chunks, err = WriteBlob(ctx, store, quarantinePartition(day), digest, m.Body); err != nil {
		return q, err
	}
	body, err := json.Marshal(q)
	if err != nil {
		return q, err
	}
	_, err = store.Commit(ctx, quarantinePartition(day), []Change{{Op: Create, Record: Record{
		ID: "item/" + digest, Sort: SortTime(received) + "/" + digest, Body: body,
	}}})
	if errors.Is(err, ErrExists) {
		return readQuarantined(ctx, store, day, digest)
	}
	return q, err
}

func readQuarantined(ctx context.Context, store Store, day, digest string) (q Quarantined, err error) {
	got, err := store.Get(ctx, quarantinePartition(day), "item/"+digest)
	if err != nil {
		return q, err
	}
	if got[0].Version == "" {
		return q, fmt.Errorf("quarantined message %s@%s: %w", digest, day, ErrNotFound)
	}
	if err := json.Unmarshal(got[0].Body, &q); err != nil {
		return q, fmt.Errorf("stored quarantined message %s@%s: %w", digest, day, err)
	}
	return q, nil
}

// GetQuarantined reads one with its whole body, or ErrNotFound.
func GetQuarantined(ctx context.Context, store Store, id string) (Quarantined, []byte, error) {
	digest, day, ok := strings.Cut(id, "@")
	if !ok {
		return Quarantined{}, nil, fmt.Errorf("quarantined message %q: %w", id, ErrNotFound)
	}
	q, err := readQuarantined(ctx, store, day, digest)
	if err != nil {
		return q, nil, err
	}
	body, err := ReadBlob(ctx, store, quarantinePartition(day), digest, q.Chunks)
	return q, body, err
}

// MarkReplayed notes that a quarantined message was sent again.
func MarkReplayed(ctx context.Context, store Store, id string, now time.Time) error {
	digest, day, ok := strings.Cut(id, "@")
	if !ok {
		return fmt.Errorf("quarantined message %q: %w", id, ErrNotFound)
	}
	record := "item/" + digest
	for {
		got, err := store.Get(ctx, quarantinePartition(day), record)
		if err != nil {
			return err
		}
		if got[0].Version == "" {
			return fmt.Errorf("quarantined message %q: %w", id, ErrNotFound)
		}
		var q Quarantined
		if err := json.Unmarshal(got[0].Body, &q); err != nil {
			return fmt.Errorf("stored quarantined message %s: %w", id, err)
		}
		q.Replayed = now.UTC()
		change := Change{Op: Replace, Record: got[0]}
		if change.Record.Body, err = json.Marshal(q); err != nil {
			return err
		}
		_, err = store.Commit(ctx, quarantinePartition(day), []Change{change})
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// WriteBlob keeps bytes of any size in records `blob/<name>/<n>` of a
// partition and returns how many; it is idempotent.
func WriteBlob(ctx context.Context, store Store, partition, name string, body []byte) (int, error) {
	n := 0
	for len(body) > 0 {
		take := min(len(body), ChunkBytes)
		_, err := store.Commit(ctx, partition, []Change{{Op: Upsert, Record: Record{ID: blobID(name, n), Body: body[:take]}}})
		if err != nil {
			return n, err
		}
		body, n = body[take:], n+1
	}
	return n, nil
}

// ReadBlob reads what WriteBlob wrote.
func ReadBlob(ctx context.Context, store Store, partition, name string, chunks int) ([]byte, error) {
	var out []byte
	for n := range chunks {
		got, err := store.Get(ctx, partition, blobID(name, n))
		if err != nil {
			return nil, err
		}
		if got[0].Version == "" {
			return nil, fmt.Errorf("part %d of %d of %s is missing: %w", n+1, chunks, name, ErrNotFound)
		}
		out = append(out, got[0].Body...)
	}
	return out, nil
}

func blobID(name string, n int) string { return fmt.Sprintf("%s%s/%06d", blobPrefix, name, n) }
