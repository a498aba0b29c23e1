package lineage

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// Stamp says which event wrote something: its time, and its key to break
// ties. Stamps are totally ordered, so "the newer one wins" means the same on
// every machine, whatever order events arrive in.
type Stamp struct {
	At  time.Time
	Key event.Key
}

// StampOf is the stamp of everything that e writes. What an enriched event
// says is newer than what the event said by itself and older than any later
// event: its key has a mark at the end, so that it comes right after.
func StampOf(e *event.Event) Stamp {
	s := Stamp{At: e.Time.UTC(), Key: e.Envelope.Key()}
	if e.Enriched {
		s.Key += enrichedMark
	}
	return s
}

// enrichedMark is no character of a key.
const enrichedMark = "+"

// Compare orders stamps by time, then key.
func (s Stamp) Compare(o Stamp) int {
	if c := s.At.Compare(o.At); c != 0 {
		return c
	}
	return cmp.Compare(s.Key, o.Key)
}

// IsZero is true for the stamp of nothing.
func (s Stamp) IsZero() bool { return s.At.IsZero() && s.Key == "" }

// AppendText appends the written form, `2026-11-02T09:14:07.49Z#<key>`.
func (s Stamp) AppendText(b []byte) ([]byte, error) {
	b = s.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '#')
	return append(b, s.Key...), nil
}

// MarshalText writes the form that UnmarshalText reads.
func (s Stamp) MarshalText() ([]byte, error) { return s.AppendText(make([]byte, 0, 64)) }

// UnmarshalText reads the written form.
func (s *Stamp) UnmarshalText(b []byte) error {
	at, key, ok := strings.Cut(string(b), "#")
	if !ok {
		return fmt.Errorf("stamp %q: want time#key", b)
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return fmt.Errorf("stamp %q: %w", b, err)
	}
	s.At, s.Key = t, event.Key(key)
	return nil
}
