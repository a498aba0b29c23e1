package ingest

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// batch is what one request becomes.
type batch struct {
	messages    []lineage.Message
	quarantined int
	byKind      [kinds]int
	times       []time.Time // of the events that brought one
	problem     *event.Problem
}

// facts of a request that its messages carry.
type facts struct {
	via          string
	received     time.Time
	header       http.Header
	subscription string
	attempt      string // aeg-delivery-count as sent, if a number
}

// scratch buffers hold canonical bodies until their total size is known.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// newBatch turns items into messages. The bodies of all messages are slices
// of one exact allocation, made here: nothing of the request's own buffer is
// kept, so that it can be used again.
func newBatch(f *facts, items []event.Item) *batch {
	b := &batch{
		messages: make([]lineage.Message, len(items)),
		times:    make([]time.Time, 0, len(items)),
	}
	properties := f.properties(lineage.KindEvent)
	buf := scratch.Get().(*[]byte)
	ends := make([]int, len(items))
	for i := range items {
		if items[i].Problem != nil {
			*buf = b.addRaw(i, *buf, f, &items[i])
		} else {
			*buf = b.addEvent(i, *buf, f, &items[i].Envelope, properties)
		}
		ends[i] = len(*buf)
	}
	b.share(*buf, ends)
	if cap(*buf) <= pooledBuffer {
		*buf = (*buf)[:0]
		scratch.Put(buf)
	}
	return b
}

// share copies all bodies into one allocation. Each slice ends at its
// capacity: appending to one body can't reach the next.
func (b *batch) share(all []byte, ends []int) {
	owned := make([]byte, len(all))
	copy(owned, all)
	start := 0
	for i, end := range ends {
		b.messages[i].Body = owned[start:end:end]
		start = end
	}
}

func (b *batch) addEvent(i int, buf []byte, f *facts, e *event.Envelope, properties map[string]string) []byte {
	if e.Time.IsZero() {
		e.Time = f.received
	} else {
		b.times = append(b.times, e.Time)
	}
	b.byKind[kindOf(e.Type)]++
	b.messages[i] = lineage.Message{ID: string(e.Key()), Properties: properties}
	return e.AppendJSON(buf)
}

func (b *batch) addRaw(i int, buf []byte, f *facts, item *event.Item) []byte {
	b.quarantined++
	if b.problem == nil {
		b.problem = item.Problem
	}
	b.messages[i] = lineage.Message{ID: rawID(item.Raw), Properties: f.rawProperties(item.Problem)}
	return append(buf, item.Raw...)
}

// rawID is the same for the same bytes, so that a broker may drop repeats.
func rawID(raw []byte) string {
	sum := sha256.Sum256(raw)
	return event.Digest(lineage.KindRaw, string(sum[:]))
}

// split cuts a body; one that nobody understands is a single item with a
// problem.
func split(f *facts, body []byte) []event.Item {
	items, err := event.Split(f.header.Get("Content-Type"), f.header.Get, body)
	if err == nil {
		return items
	}
	whole := event.Item{Raw: body}
	if !errors.As(err, &whole.Problem) {
		whole.Problem = &event.Problem{Reason: "unreadable", Detail: err.Error()}
	}
	return []event.Item{whole}
}

// Bounds on what a sender's headers may add to a message's properties, which
// together must stay below 16 KiB.
const (
	maxHeaderValue = 512
	maxDetail      = 1024
)

// contextAttributes are CloudEvents' attributes as headers of its binary mode.
var contextAttributes = []string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type", "Ce-Subject", "Ce-Time"}

func (f *facts) properties(kind string) map[string]string {
	p := make(map[string]string, 8)
	p[lineage.PropKind] = kind
	p[lineage.PropVia] = f.via
	p[lineage.PropReceived] = f.received.UTC().Format(time.RFC3339Nano)
	if f.subscription != "" {
		p[lineage.PropSubscription] = f.subscription
	}
	if f.attempt != "" {
		p[lineage.PropDeliveryCount] = f.attempt
	}
	if parent := f.header.Get("Traceparent"); isTraceParent(parent) {
		p[lineage.PropTraceParent] = parent
	}
	return p
}

// rawProperties add what is needed to read the bytes again: their problem,
// their media type and, for the binary mode of CloudEvents, the attributes
// that travelled as headers.
func (f *facts) rawProperties(problem *event.Problem) map[string]string {
	p := f.properties(lineage.KindRaw)
	p[lineage.PropProblem] = clean(problem.Reason, maxHeaderValue)
	p[lineage.PropProblemDetail] = clean(problem.Detail, maxDetail)
	p[lineage.PropContentType] = clean(f.header.Get("Content-Type"), maxHeaderValue)
	for _, name := range contextAttributes {
		if value := f.header.Get(name); value != "" {
			p[strings.ToLower(name)] = clean(value, maxHeaderValue)
		}
	}
	return p
}

// clean makes a sender's text safe to store and to use as a label: valid
// UTF-8 of at most limit bytes.
func clean(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "")
}

// isTraceParent checks the shape of W3C Trace Context version 00; a broken
// one is dropped, as the recommendation asks.
func isTraceParent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	for i := 3; i < len(s); i++ {
		if c := s[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// attemptOf keeps an aeg-delivery-count that is a small number; again tells
// whether Event Grid tried before (it counts from 0).
func attemptOf(header string) (attempt string, again bool) {
	if header == "" {
		return "", false
	}
	n, err := strconv.ParseUint(header, 10, 16)
	if err != nil {
		return "", false
	}
	return header, n > 0
}
