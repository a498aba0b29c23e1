package cosmos

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
)

// batchOperation is one element of a transactional batch's body.
type batchOperation struct {
	Type         string          `json:"operationType"`
	ID           string          `json:"id"`
	Body         json.RawMessage `json:"resourceBody"`
	IfMatch      string          `json:"ifMatch"`
	IfNoneMatch  string          `json:"ifNoneMatch"`
	PartitionKey json.RawMessage `json:"partitionKey"`
}

var batchTypes = map[string]Operation{
	"Create": CreateItem, "Upsert": UpsertItem, "Replace": ReplaceItem, "Delete": DeleteItem, "Read": ReadItem,
}

// batchResult is one element of the answer.
type batchResult struct {
	Status int             `json:"statusCode"`
	Charge float64         `json:"requestCharge"`
	ETag   string          `json:"eTag,omitempty"`
	Body   json.RawMessage `json:"resourceBody,omitempty"`
}

// batchItems performs a transactional batch: all operations or none.
func batchItems(c *call) (*answer, error) {
	key, err := c.needPartition()
	if err != nil {
		return nil, err
	}
	ops, err := c.batch()
	if err != nil {
		return nil, err
	}
	results, failedAt, err := c.run(key, ops)
	if err != nil {
		c.undo()
		return nil, err
	}
	status := http.StatusOK
	if failedAt >= 0 {
		c.undo()
		status = http.StatusMultiStatus
	}
	charge := 0.0
	for _, r := range results {
		charge += r.Charge
	}
	a := newAnswer(status, marshal(results), charge)
	c.session(a)
	return a, nil
}

// batch reads and checks the body.
func (c *call) batch() ([]batchOperation, error) {
	if len(c.body) > maxBatch {
		return nil, tooLarge()
	}
	if !c.is("x-ms-cosmos-batch-atomic") {
		return nil, badRequest("The server simulates atomic batches only (x-ms-cosmos-batch-atomic).")
	}
	var ops []batchOperation
	if err := json.Unmarshal(c.body, &ops); err != nil {
		return nil, badRequest("The request payload is invalid. Ensure to provide a valid request payload. %v", err)
	}
	if len(ops) == 0 || len(ops) > maxBatchOps {
		return nil, badRequest("Batch request has %d operations, it must have 1 to %d.", len(ops), maxBatchOps)
	}
	for _, o := range ops {
		if _, ok := batchTypes[o.Type]; !ok {
			return nil, badRequest("The server does not simulate the batch operation '%s'.", o.Type)
		}
	}
	return ops, nil
}

// run performs the operations until one fails; then that one has its status
// and all others 424. An error is one of the whole request.
func (c *call) run(key string, ops []batchOperation) (results []batchResult, failedAt int, err error) {
	results = make([]batchResult, len(ops))
	for i, o := range ops {
		op := batchTypes[o.Type]
		r, err := c.apply(key, write{op, o.ID, o.Body, o.IfMatch, o.IfNoneMatch})
		if err != nil {
			var f *failure
			if !errors.As(err, &f) {
				return nil, 0, err
			}
			return c.depend(results, i, f), i, nil
		}
		results[i] = batchResult{Status: r.status, Charge: r.charge}
		if r.item != nil {
			results[i].ETag = r.item.etag
			if op == ReadItem || c.Header.Get("Prefer") != "return=minimal" {
				results[i].Body = r.item.raw
			}
		}
	}
	return results, -1, nil
}

func (c *call) depend(results []batchResult, at int, f *failure) []batchResult {
	for i := range results {
		results[i] = batchResult{Status: http.StatusFailedDependency, Charge: results[i].Charge}
	}
	results[at] = batchResult{Status: f.status, Charge: f.charge}
	return results
}

// change is one that undo takes back.
type change struct {
	partition *partition
	id        string
	old       *item // nil when there was none
}

// undo takes back what the request changed, last first.
func (c *call) undo() {
	for _, ch := range slices.Backward(c.changes) {
		if ch.old == nil {
			delete(ch.partition.items, ch.id)
		} else {
			ch.partition.items[ch.id] = ch.old
		}
	}
	c.container.lsn -= uint64(len(c.changes))
	c.changes = nil
}
