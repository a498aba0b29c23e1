package cosmos

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// item is a record as Cosmos DB gives it back. Properties:
//
//	id   the escaped ID
//	pk   the escaped partition: the partition key
//	o    the escaped Sort, a space, the id; absent without a Sort
//	b    the body as text, or
//	z    the body packed (see form)
//	i    the ID in base 85, where id is cut
//	e    Expires in milliseconds since 1970, and
//	ttl  the seconds from the write to it, for the service
//	w    the mark of the commit that wrote it
type item struct {
	ID      string  `json:"id"`
	Order   string  `json:"o"`
	Text    *string `json:"b"`
	Packed  string  `json:"z"`
	Name    string  `json:"i"`
	Expires int64   `json:"e"`
	Mark    string  `json:"w"`
	ETag    string  `json:"_etag"`
}

// newMark names a commit: 144 random bits.
func newMark() string {
	var b [18]byte
	// crypto/rand never fails: it ends the process rather.
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// encodeItem makes the JSON of a record.
func encodeItem(pk string, r *lineage.Record, mark string, now time.Time) []byte {
	id, cut := encodeName(r.ID)
	body := smallest(r.Body)
	b := make([]byte, 0, body.size+len(id)*2+len(pk)+len(r.Sort)*3+200)
	b = append(append(append(b, `{"id":"`...), id...), `","pk":"`...)
	b = append(append(b, pk...), `",`...)
	if r.Sort != "" {
		b = append(append(append(b, `"o":"`...), orderKey(r.Sort, id)...), `",`...)
	}
	if cut {
		b = append(append85(append(b, `"i":"`...), []byte(r.ID)), `",`...)
	}
	if !r.Expires.IsZero() {
		b = appendExpiry(b, r.Expires, now)
	}
	b = append(append(append(b, `"w":"`...), mark...), `",`...)
	return append(body.append(b), '}')
}

// orderKey is what records are listed by in the order of Sort: no escaped
// name contains a space or anything below it, so it orders as the pair does.
func orderKey(sort, id string) string { return escape(sort) + " " + id }

// appendExpiry writes e and ttl. The service counts from the item's _ts,
// which is cut to seconds: so one more second, else it could forget early.
func appendExpiry(b []byte, expires, now time.Time) []byte {
	left := min(max(0, expires.Sub(now)), math.MaxInt32*time.Second)
	seconds := int64(min((left+time.Second-1)/time.Second+1, math.MaxInt32))
	b = strconv.AppendInt(append(b, `"e":`...), ceilMillis(expires), 10)
	b = strconv.AppendInt(append(b, `,"ttl":`...), seconds, 10)
	return append(b, ',')
}

// ceilMillis rounds up; 0 would be never, so the first millisecond of 1970
// stands for all before it.
func ceilMillis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return max(1, ms)
}

// decodeItem reads a record out of an item.
func decodeItem(partition string, raw []byte) (r lineage.Record, it item, err error) {
	if err = json.Unmarshal(raw, &it); err == nil {
		r, err = it.record(partition)
	}
	if err != nil {
		err = finalError{fmt.Errorf("the item %q in %s is not one of ours: %w", it.ID, partition, err)}
	}
	return r, it, err
}

func (it *item) record(partition string) (r lineage.Record, err error) {
	r = lineage.Record{Partition: partition, Version: it.ETag}
	if r.ID, err = it.name(); err != nil {
		return r, err
	}
	if it.Order != "" {
		sort, _, _ := strings.Cut(it.Order, " ")
		var ok bool
		if r.Sort, ok = unescape(sort); !ok {
			return r, errors.New("its order is not escaped as ours are")
		}
	}
	if it.Expires != 0 {
		r.Expires = time.UnixMilli(it.Expires).UTC()
	}
	r.Body, err = bodyOf(it.Text, it.Packed)
	return r, err
}

// name is the ID of the record.
func (it *item) name() (string, error) {
	if it.Name != "" {
		b, err := decode85(it.Name)
		return string(b), err
	}
	name, ok := unescape(it.ID)
	if !ok {
		return "", errors.New("its id is not escaped as ours are")
	}
	return name, nil
}
