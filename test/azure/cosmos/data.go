package cosmos

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"
)

// container holds items by partition key.
type container struct {
	entity
	definition definition
	partitions map[string]*partition
	bucket     bucket
	// lsn counts writes; items are numbered as they are created.
	lsn, created uint64
}

// partition is what one value of the partition key holds.
type partition struct {
	items map[string]*item
}

// item is one stored document.
type item struct {
	id, etag, rid string
	number        uint64 // in order of creation within the container
	ts            int64
	raw           []byte    // with the service's own properties
	expires       time.Time // zero is never
	leaves        int       // indexed values
	decoded       any
}

// value is the item as query expressions see it.
func (it *item) value() any {
	if it.decoded == nil {
		// raw was checked when it was stored: it decodes.
		_ = json.Unmarshal(it.raw, &it.decoded)
	}
	return it.decoded
}

func (it *item) expired(now time.Time) bool { return !it.expires.IsZero() && !now.Before(it.expires) }

// find gives an item that exists and has not expired, or nil. What has
// expired is removed on sight: nobody can tell the difference.
func (p *partition) find(id string, now time.Time) *item {
	if p == nil {
		return nil
	}
	it := p.items[id]
	if it != nil && it.expired(now) {
		delete(p.items, id)
		return nil
	}
	return it
}

// live lists the items, in no order.
func (p *partition) live(now time.Time) []*item {
	if p == nil {
		return nil
	}
	items := make([]*item, 0, len(p.items))
	for _, it := range p.items {
		if !it.expired(now) {
			items = append(items, it)
		}
	}
	return items
}

// live lists the items of all partitions, in no order.
func (ct *container) live(now time.Time) []*item {
	var items []*item
	for p := range maps.Values(ct.partitions) {
		items = append(items, p.live(now)...)
	}
	return items
}

func (ct *container) count(now time.Time) int { return len(ct.live(now)) }

// expiry is when an item written now is gone: its own ttl counts only where
// the container has one, and both run from _ts, which is in whole seconds.
// Source: "Time to Live (TTL) in Azure Cosmos DB".
func (ct *container) expiry(ttl *int, now time.Time) time.Time {
	if ct.definition.DefaultTTL == nil {
		return time.Time{}
	}
	if ttl == nil {
		ttl = ct.definition.DefaultTTL
	}
	if *ttl == -1 {
		return time.Time{}
	}
	return time.Unix(now.Unix(), 0).Add(time.Duration(*ttl) * time.Second)
}

// newID makes a resource id.
func (s *Server) newID() string {
	s.ids++
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, s.ids)[2:])
}

// newETag makes one that was never used before.
func (s *Server) newETag() string {
	s.ids++
	return fmt.Sprintf(`"%08x-0000-0800-0000-%012x"`, uint32(s.ids>>16), s.ids)
}

// maxID is the longest id of a resource, in bytes.
const maxID = 1023

// checkID refuses ids that the service refuses.
func checkID(id string) error {
	switch {
	case id == "":
		return badRequest("The input content is invalid because the required properties - 'id; ' - are missing")
	case len(id) > maxID:
		return badRequest("The id has %d bytes, at most %d are allowed.", len(id), maxID)
	case strings.ContainsAny(id, `/\?#`):
		return badRequest("The id contains one of the illegal characters '/', '\\', '?', '#'.")
	case !utf8.ValidString(id):
		return badRequest("The id is not UTF-8.")
	}
	return nil
}
