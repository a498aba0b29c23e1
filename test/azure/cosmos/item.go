package cosmos

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// write is one write or read of an item, alone or within a batch.
type write struct {
	op                   Operation
	id                   string
	body                 []byte
	ifMatch, ifNoneMatch string
}

// result is what came of it.
type result struct {
	status int
	item   *item // what is stored now, nil after a delete
	charge float64
}

// partitionKey reads the header of the request: the key's name, and whether
// there is one.
func (c *call) partitionKey() (key string, ok bool, err error) {
	header := c.Header.Get("x-ms-documentdb-partitionkey")
	if header == "" {
		return "", false, nil
	}
	var values []any
	if err := json.Unmarshal([]byte(header), &values); err != nil || len(values) > 1 {
		return "", false, badRequest("The partition key header %q is not a JSON array of one value.", header)
	}
	if len(values) == 0 {
		return "", false, nil
	}
	value := values[0]
	if m, isObject := value.(map[string]any); isObject && len(m) == 0 {
		value = absent{}
	}
	key, err = keyOf(value)
	return key, err == nil, err
}

func (c *call) needPartition() (string, error) {
	key, ok, err := c.partitionKey()
	if err == nil && !ok {
		err = badRequest("PartitionKey value must be supplied for this operation.")
	}
	return key, err
}

func (c *call) write(op Operation) write {
	return write{op, c.itemID, c.body, c.Header.Get("If-Match"), c.Header.Get("If-None-Match")}
}

// single performs a write that is a request of its own.
func (c *call) single(op Operation) (*answer, error) {
	key, err := c.needPartition()
	if err != nil {
		return nil, err
	}
	r, err := c.apply(key, c.write(op))
	if err != nil {
		return nil, err
	}
	a := newAnswer(r.status, nil, r.charge)
	c.session(a)
	if r.item != nil {
		a.header.Set("etag", r.item.etag)
		if op == ReadItem && r.status == http.StatusOK || op != ReadItem && c.Header.Get("Prefer") != "return=minimal" {
			a.body = r.item.raw
		}
	}
	return a, nil
}

// session sets the session token of the answer: one range, and how far the
// container has been written.
func (c *call) session(a *answer) {
	a.header.Set("x-ms-session-token", "0:-1#"+strconv.FormatUint(c.container.lsn, 10))
}

func createItem(c *call) (*answer, error)  { return c.single(CreateItem) }
func readItem(c *call) (*answer, error)    { return c.single(ReadItem) }
func upsertItem(c *call) (*answer, error)  { return c.single(UpsertItem) }
func replaceItem(c *call) (*answer, error) { return c.single(ReplaceItem) }
func deleteItem(c *call) (*answer, error)  { return c.single(DeleteItem) }

// apply performs one operation on the partition named key.
func (c *call) apply(key string, w write) (result, error) {
	p := c.container.partitions[key]
	switch w.op {
	case ReadItem:
		return c.read1(p.find(w.id, c.now), w)
	case DeleteItem:
		return c.remove(p, w)
	}
	d, err := c.container.parseDocument(w.body)
	if err != nil {
		return result{}, err
	}
	if d.key != key {
		f := badRequest("PartitionKey extracted from document doesn't match the one specified in the header.")
		f.substatus = 1001
		return result{}, f
	}
	if w.op == ReplaceItem && d.id != w.id {
		return result{}, badRequest("The id of the replacement must be that of the item.")
	}
	if p == nil {
		p = &partition{items: map[string]*item{}}
		c.container.partitions[key] = p
	}
	return c.put(p, d, w)
}

func (c *call) read1(it *item, w write) (result, error) {
	if it == nil {
		f := notFound()
		f.charge = c.read(1)
		return result{}, f
	}
	if w.ifNoneMatch == it.etag {
		return result{http.StatusNotModified, it, c.read(1)}, nil
	}
	return result{http.StatusOK, it, c.read(readCharge(len(it.raw)))}, nil
}

func (c *call) remove(p *partition, w write) (result, error) {
	it := p.find(w.id, c.now)
	if it == nil {
		return result{}, refusedWrite(notFound())
	}
	if !matches(it, w) {
		return result{}, refusedWrite(preconditionFailed())
	}
	c.changes = append(c.changes, change{p, w.id, it})
	delete(p.items, w.id)
	c.container.lsn++
	return result{http.StatusNoContent, nil, it.writeCharge()}, nil
}

// put creates, replaces or upserts.
func (c *call) put(p *partition, d *document, w write) (result, error) {
	old := p.find(d.id, c.now)
	switch {
	case w.op == CreateItem && old != nil:
		return result{}, refusedWrite(conflict())
	case w.op == ReplaceItem && old == nil:
		return result{}, refusedWrite(notFound())
	case old != nil && !matches(old, w):
		return result{}, refusedWrite(preconditionFailed())
	}
	it := c.store(d, old)
	c.changes = append(c.changes, change{p, d.id, old})
	p.items[d.id] = it
	if old != nil {
		return result{http.StatusOK, it, it.writeCharge() + old.writeCharge()}, nil
	}
	return result{http.StatusCreated, it, it.writeCharge()}, nil
}

// matches checks the preconditions of a write against what is stored.
func matches(it *item, w write) bool {
	if w.ifMatch != "" && w.ifMatch != "*" && w.ifMatch != it.etag {
		return false
	}
	return w.ifNoneMatch == "" || w.ifNoneMatch != "*" && w.ifNoneMatch != it.etag
}

func refusedWrite(f *failure) *failure {
	f.charge = failedWriteCharge
	return f
}
