package embedded

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

func TestEntriesSurviveTheCodec(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var data []byte
		var sent []lineage.Message
		at := time.Unix(0, rapid.Int64().Draw(r, "enqueued")).UTC()
		for range rapid.IntRange(0, 5).Draw(r, "count") {
			m := lineage.Message{
				ID:         rapid.String().Draw(r, "id"),
				Body:       rapid.SliceOf(rapid.Byte()).Draw(r, "body"),
				Properties: rapid.MapOfN(rapid.String(), rapid.String(), 0, 5).Draw(r, "properties"),
			}
			before := len(data)
			data = appendEntry(data, &m, at)
			if want := entrySize(&m, at); len(data)-before != want {
				r.Fatalf("an entry of %d bytes, expected %d", len(data)-before, want)
			}
			sent = append(sent, m)
		}
		ends, err := splitEntries(data, len(sent))
		if err != nil {
			r.Fatal(err)
		}
		start := 0
		for i, end := range ends {
			m, enqueued, err := decodeEntry(data[start:end])
			start = end
			if err != nil || !enqueued.Equal(at) || m.ID != sent[i].ID || !bytes.Equal(m.Body, sent[i].Body) || !maps.Equal(m.Properties, sent[i].Properties) {
				r.Fatalf("got %+v at %v (%v), want %+v at %v", m, enqueued, err, sent[i], at)
			}
		}
	})
}

// FuzzDecodeEntry feeds damaged entries: an error, no panic and no memory
// beyond what the bytes can hold.
func FuzzDecodeEntry(f *testing.F) {
	m := lineage.Message{ID: "a", Body: []byte("b"), Properties: map[string]string{"k": "v"}}
	f.Add(appendEntry(nil, &m, time.Unix(1, 2)), 1)
	f.Add([]byte{}, 0)
	f.Add([]byte{0, 0}, 2)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 1<<40)
	f.Fuzz(func(t *testing.T, data []byte, count int) {
		if m, at, err := decodeEntry(data); err == nil {
			again, _, err := decodeEntry(appendEntry(nil, &m, at))
			if err != nil || again.ID != m.ID || !bytes.Equal(again.Body, m.Body) || !maps.Equal(again.Properties, m.Properties) {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
		}
		if ends, err := splitEntries(data, count); err == nil && len(ends) != count {
			t.Fatalf("%d ends for %d entries", len(ends), count)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("", "s", "id", true)
	f.Add("AQAA", "", "\x00", false)
	f.Fuzz(func(t *testing.T, cursor, sort, id string, descending bool) {
		q := lineage.Query{Cursor: cursor, Descending: descending}
		_, _, _ = openCursor(q) // any string: no panic
		if id == "" {
			return
		}
		q.Cursor = makeCursor(q, sort, id)
		gotSort, gotID, err := openCursor(q)
		if err != nil || gotSort != sort || gotID != id {
			t.Fatalf("got %q, %q, %v; want %q, %q", gotSort, gotID, err, sort, id)
		}
	})
}

func TestFIFOKeepsItsOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var f fifo[int]
		next, want := 0, 0
		for range rapid.IntRange(1, 50).Draw(r, "rounds") {
			for range rapid.IntRange(0, 300).Draw(r, "push") {
				f.push(next)
				next++
			}
			for range rapid.IntRange(0, f.count).Draw(r, "pop") {
				if got := f.pop(); got != want {
					r.Fatalf("popped %d, want %d", got, want)
				}
				want++
			}
			if f.count != next-want {
				r.Fatalf("counts %d, want %d", f.count, next-want)
			}
		}
	})
}
