package cosmos

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sizes that the service accepts. Source: "Azure Cosmos DB service quotas".
const (
	maxItem      = 2 << 20 // of an item as UTF-8 JSON
	maxBatch     = 2 << 20 // of a transactional batch's body
	maxBody      = 4 << 20 // of any request
	maxBatchOps  = 100
	maxPartition = 2048 // bytes of a partition key's value
)

// marshal encodes without escaping for HTML. What it is given can always be
// encoded.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// document is an item as a client sent it.
type document struct {
	id     string
	ttl    *int
	key    string // of its partition
	leaves int
	fields []field // in order, without the service's own
}

type field struct {
	name string
	raw  json.RawMessage
}

// system properties are the service's: what a client sends for them is
// dropped.
var system = []string{"_rid", "_self", "_etag", "_attachments", "_ts"}

// parseDocument checks an item against the limits and the container.
func (ct *container) parseDocument(body []byte) (*document, error) {
	if len(body) > maxItem {
		return nil, tooLarge()
	}
	if !utf8.Valid(body) {
		return nil, badRequest("The request payload is invalid: it is not UTF-8. Ensure to provide a valid request payload.")
	}
	d := &document{}
	if err := d.split(body); err != nil {
		return nil, badRequest("The request payload is invalid. Ensure to provide a valid request payload. %v", err)
	}
	if err := d.takeProperties(); err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return nil, badRequest("The request payload is invalid. %v", err)
	}
	d.leaves = ct.definition.Indexing.leaves("", value)
	key, err := keyOf(lookUp(value, ct.definition.PartitionKey.Paths[0]))
	d.key = key
	return d, err
}

// split reads the top level of an object.
func (d *document) split(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("an item must be a JSON object"), err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		f := field{name: name.(string)}
		if err := dec.Decode(&f.raw); err != nil {
			return err
		}
		d.fields = append(d.fields, f)
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("there is more than one value")
	}
	return nil
}

// takeProperties reads id and ttl and drops what is the service's.
func (d *document) takeProperties() error {
	kept := d.fields[:0]
	for _, f := range d.fields {
		switch {
		case f.name == "id":
			if json.Unmarshal(f.raw, &d.id) != nil {
				return badRequest("The input content is invalid because 'id' is not a string.")
			}
		case f.name == "ttl" && string(f.raw) != "null":
			if json.Unmarshal(f.raw, &d.ttl) != nil || *d.ttl == 0 || *d.ttl < -1 || *d.ttl > math.MaxInt32 {
				return badRequest("The input ttl '%s' is invalid. Ensure to provide a nonzero positive integer, or -1.", f.raw)
			}
		}
		if !slices.Contains(system, f.name) {
			kept = append(kept, f)
		}
	}
	d.fields = kept
	return checkID(d.id)
}

// store gives a document the service's properties and makes it an item. old
// is the one that it takes the place of, if any.
func (c *call) store(d *document, old *item) *item {
	ct := c.container
	ct.lsn++
	it := &item{id: d.id, etag: c.server.newETag(), ts: c.now.Unix(), leaves: d.leaves, expires: ct.expiry(d.ttl, c.now)}
	if old != nil {
		it.rid, it.number = old.rid, old.number
	} else {
		ct.created++
		it.rid, it.number = c.server.newID(), ct.created
	}
	it.raw = d.bytes(it, c.database.rid, ct.rid)
	return it
}

func (d *document) bytes(it *item, database, container string) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, f := range d.fields {
		b.Write(marshal(f.name))
		b.WriteByte(':')
		// The decoder accepted the value: it can be compacted.
		_ = json.Compact(&b, f.raw)
		b.WriteByte(',')
	}
	self := "dbs/" + database + "/colls/" + container + "/docs/" + it.rid + "/"
	b.WriteString(`"_rid":` + strconv.Quote(it.rid) + `,"_self":` + strconv.Quote(self) + `,"_etag":`)
	b.Write(marshal(it.etag))
	b.WriteString(`,"_attachments":"attachments/","_ts":` + strconv.FormatInt(it.ts, 10) + `}`)
	return b.Bytes()
}

// lookUp follows a path like "/a/b"; absent is what it finds when there is
// nothing.
func lookUp(v any, path string) any {
	for name := range strings.SplitSeq(path[1:], "/") {
		m, ok := v.(map[string]any)
		if !ok {
			return absent{}
		}
		if v, ok = m[strings.Trim(name, `"`)]; !ok {
			return absent{}
		}
	}
	return v
}

// absent is the partition key of items that have none.
type absent struct{}

// keyOf names the partition of a value of the partition key.
func keyOf(v any) (string, error) {
	switch v := v.(type) {
	case absent:
		return "undefined", nil
	case nil, bool, float64:
		return string(marshal(v)), nil
	case string:
		if len(v) > maxPartition {
			return "", badRequest("The partition key has %d bytes, at most %d are allowed.", len(v), maxPartition)
		}
		return string(marshal(v)), nil
	}
	return "", badRequest("The partition key must be a string, a number, a boolean or null.")
}

// leaves counts the values that the policy indexes.
func (p *indexingPolicy) leaves(path string, v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for name, below := range v {
			n += p.leaves(path+"/"+name, below)
		}
	case []any:
		for _, below := range v {
			n += p.leaves(path+"/[]", below)
		}
	default:
		if p.indexed(path) {
			n = 1
		}
	}
	return n
}
