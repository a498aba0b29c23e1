package servicebus

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// Annotations of Service Bus.
const (
	annotationSequence    = "x-opt-sequence-number"
	annotationEnqueued    = "x-opt-enqueued-time"
	annotationLockedUntil = "x-opt-locked-until"
	annotationState       = "x-opt-message-state"
	annotationSource      = "x-opt-deadletter-source"
	annotationScheduled   = "x-opt-scheduled-enqueue-time"
	annotationLockToken   = "x-opt-lock-token"
)

// systemAnnotations are the broker's own: senders can't set them.
var systemAnnotations = map[string]bool{
	annotationSequence: true, annotationEnqueued: true, annotationLockedUntil: true,
	annotationState: true, annotationSource: true, annotationLockToken: true,
}

// entryOverhead is what a message counts beside its bytes, so that empty ones
// can't fill the memory.
const entryOverhead = 256

// newEntry takes a message in as its sender made it. m stays unchanged.
func newEntry(m *amqp.Message) *entry {
	kept := *m
	kept.DeliveryAnnotations = nil
	kept.Annotations = slices.DeleteFunc(m.Annotations.Clone(), func(e amqp.Entry) bool {
		return systemAnnotations[amqp.Text(e.Key)]
	})
	kept.Properties = identified(m.Properties)
	return &entry{
		msg:  &kept,
		size: int64(len(kept.Append(nil))) + entryOverhead,
		stop: func() {},
	}
}

// identified gives a message an id if it has none, as Azure does: clients count
// on it.
func identified(p *amqp.Properties) *amqp.Properties {
	if p != nil && p.MessageID != nil {
		return p
	}
	named := amqp.Properties{}
	if p != nil {
		named = *p
	}
	named.MessageID = strings.ReplaceAll(uuid.NewString(), "-", "")
	return &named
}

// compose makes of an entry what a receiver gets: what the sender wrote, with
// the header and the annotations of the broker. k is nil without a lock.
func (q *queue) compose(e *entry, k *lock) *amqp.Message {
	m := *e.msg
	m.Header = e.header()
	m.Annotations = m.Annotations.Clone()
	set := func(name string, v any) { m.Annotations.Set(amqp.Symbol(name), v) }
	set(annotationSequence, e.seq)
	set(annotationEnqueued, e.enqueued)
	set(annotationState, messageStates[e.phase])
	if e.source != "" {
		set(annotationSource, e.source)
	}
	if k != nil {
		set(annotationLockedUntil, k.until)
	}
	return &m
}

// header is the sender's, with the broker's counts.
func (e *entry) header() *amqp.Header {
	var h amqp.Header
	if e.msg.Header != nil {
		h = *e.msg.Header
	}
	h.DeliveryCount = e.deliveries
	if e.ttl > 0 {
		h.TTL = new(uint32(min(e.ttl.Milliseconds(), math.MaxUint32)))
	}
	return &h
}

// lifetime is a message's time to live: its own, but no longer than the
// queue's; zero means for ever. Lifetimes too long for the header's 49 days
// come as the difference of two properties.
func lifetime(m *amqp.Message, longest time.Duration) time.Duration {
	var ttl time.Duration
	if m.Header != nil && m.Header.TTL != nil {
		ttl = time.Duration(*m.Header.TTL) * time.Millisecond
	}
	if p := m.Properties; p != nil && !p.CreationTime.IsZero() && p.AbsoluteExpiryTime.After(p.CreationTime) {
		ttl = p.AbsoluteExpiryTime.Sub(p.CreationTime)
	}
	if longest > 0 && (ttl == 0 || ttl > longest) {
		return longest
	}
	return ttl
}

// scheduledFor is when a message asks to be enqueued, or nil.
func scheduledFor(m *amqp.Message) *time.Time {
	if at, ok := m.Annotations.Get(annotationScheduled).(time.Time); ok {
		return &at
	}
	return nil
}

// messageID as text; "" if there is none.
func messageID(m *amqp.Message) string {
	if m.Properties == nil || m.Properties.MessageID == nil {
		return ""
	}
	return fmt.Sprint(m.Properties.MessageID)
}

// encode makes an AMQP message of what Deliver was given.
func (m Message) encode() (*amqp.Message, error) {
	out := &amqp.Message{
		Properties: &amqp.Properties{ContentType: amqp.Symbol(m.ContentType)},
		Body:       amqp.DataBody(m.Body),
	}
	if m.MessageID != "" {
		out.Properties.MessageID = m.MessageID
	}
	for name, v := range m.Properties {
		v, err := amqp.FromGo(v)
		if err != nil {
			return nil, fmt.Errorf("servicebus: property %s: %w", name, err)
		}
		out.ApplicationProperties.Set(name, v)
	}
	return out, nil
}
