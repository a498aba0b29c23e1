package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Limits of a message beside its size.
const (
	maxProperties    = 32
	maxPropertyBytes = 16 << 10
	maxMessageID     = 1 << 10
)

// errEntry means that stored bytes are not an entry.
var errEntry = errors.New("stored message cannot be decoded")

// appendEntry appends a message as one entry:
//
//	uvarint length of what follows
//	uvarint length, ID
//	varint  nanoseconds since 1970 when the queue accepted it
//	uvarint number of properties, each as length, key, length, value
//	body up to the end
func appendEntry(buf []byte, m *lineage.Message, enqueued time.Time) []byte {
	at := enqueued.UnixNano()
	buf = binary.AppendUvarint(buf, uint64(innerSize(m, at)))
	buf = appendString(buf, m.ID)
	buf = binary.AppendVarint(buf, at)
	buf = binary.AppendUvarint(buf, uint64(len(m.Properties)))
	for k, v := range m.Properties {
		buf = appendString(buf, k)
		buf = appendString(buf, v)
	}
	return append(buf, m.Body...)
}

// entrySize is the length of the entry that appendEntry makes.
func entrySize(m *lineage.Message, enqueued time.Time) int {
	return sized(innerSize(m, enqueued.UnixNano()))
}

func innerSize(m *lineage.Message, at int64) int {
	var head [binary.MaxVarintLen64]byte
	size := sized(len(m.ID)) + len(binary.AppendVarint(head[:0], at)) +
		uvarintLen(len(m.Properties)) + len(m.Body)
	for k, v := range m.Properties {
		size += sized(len(k)) + sized(len(v))
	}
	return size
}

func sized(n int) int { return uvarintLen(n) + n }

func uvarintLen(n int) int {
	l := 1
	for n >= 0x80 {
		n >>= 7
		l++
	}
	return l
}

func appendString(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// entryReader takes an entry apart; the first fault sticks.
type entryReader struct {
	rest   []byte
	broken bool
}

func (r *entryReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.broken = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *entryReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.broken = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *entryReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.broken = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// decodeEntry reads one entry. The message's body is part of entry.
func decodeEntry(entry []byte) (m lineage.Message, enqueued time.Time, err error) {
	outer := entryReader{rest: entry}
	r := entryReader{rest: outer.bytes()}
	m.ID = string(r.bytes())
	enqueued = time.Unix(0, r.varint()).UTC()
	count := r.uvarint()
	if outer.broken || len(outer.rest) > 0 || r.broken || count > maxProperties {
		return lineage.Message{}, time.Time{}, errEntry
	}
	if count > 0 {
		m.Properties = make(map[string]string, count)
	}
	for range count {
		k := string(r.bytes())
		m.Properties[k] = string(r.bytes())
	}
	if r.broken {
		return lineage.Message{}, time.Time{}, errEntry
	}
	m.Body = r.rest
	return m, enqueued, nil
}

// splitEntries finds where each of count entries ends.
func splitEntries(data []byte, count int) ([]int, error) {
	ends := make([]int, 0, max(0, min(count, len(data))))
	r := entryReader{rest: data}
	for len(r.rest) > 0 && !r.broken {
		r.bytes()
		ends = append(ends, len(data)-len(r.rest))
	}
	if r.broken || len(ends) != count {
		return nil, errEntry
	}
	return ends, nil
}

// admit checks a message against the queue's limits.
func admit(m *lineage.Message, maxBytes int) error {
	size := 0
	for k, v := range m.Properties {
		size += len(k) + len(v)
	}
	switch {
	case len(m.ID) > maxMessageID:
		return fmt.Errorf("%w: its id has %d bytes, at most %d fit", lineage.ErrTooLarge, len(m.ID), maxMessageID)
	case len(m.Properties) > maxProperties:
		return fmt.Errorf("%w: it has %d properties, at most %d fit", lineage.ErrTooLarge, len(m.Properties), maxProperties)
	case size > maxPropertyBytes:
		return fmt.Errorf("%w: its properties have %d bytes, at most %d fit", lineage.ErrTooLarge, size, maxPropertyBytes)
	case size+len(m.Body) > maxBytes:
		return fmt.Errorf("%w: it has %d bytes, at most %d fit", lineage.ErrTooLarge, size+len(m.Body), maxBytes)
	}
	return nil
}
