package servicebus

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/uuid"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Application properties of our own. They never show in
// lineage.Message.Properties. All are text.
const (
	reserved = "mwq-"
	// propFormat marks a message as one that we sent; its value is the version
	// of what these properties mean.
	propFormat = reserved + "format"
	// propID is the message's id where it is not the broker's.
	propID = reserved + "id"
	// propAttempt and propEnqueued are on the copy for a delayed retry: how
	// often the message was delivered before, and when it first came.
	propAttempt  = reserved + "attempt"
	propEnqueued = reserved + "enqueued"
	// propEncoding says what was done to the body: "gzip".
	propEncoding = reserved + "encoding"
	// These are written when a message becomes a dead letter.
	propDeadAttempt  = reserved + "dead-attempt"
	propDeadEnqueued = reserved + "dead-enqueued"
	propDied         = reserved + "died"
	// propEscaped begins the name of a property whose real name, escaped as in
	// a URL's query, follows: the empty name, names that are not UTF-8, and
	// names that mean something to us or to the broker.
	propEscaped = reserved + "x-"
)

// The broker's own application properties of a dead letter.
const (
	brokerReason      = "DeadLetterReason"
	brokerDescription = "DeadLetterErrorDescription"
)

const (
	formatVersion = "1"
	gzipped       = "gzip"
)

// maxBrokerID is the longest MessageId in bytes ("Messages, payloads, and
// serialization", Microsoft Learn: 128 characters).
const maxBrokerID = 128

// outgoing is a message on its way to the broker.
type outgoing struct {
	message lineage.Message
	id      string // the broker's
	// attempt and enqueued continue the story of a message that was there
	// before; zero for a new one.
	attempt  int
	enqueued time.Time
}

// fresh is a message that was not there before. Its NotBefore is a part of
// its identity: the same wake-up at two times is two messages to a queue that
// drops repeats.
func fresh(m lineage.Message) outgoing {
	suffix := ""
	if !m.NotBefore.IsZero() {
		suffix = "~at-" + strconv.FormatInt(m.NotBefore.UnixMilli(), 36)
	}
	return outgoing{message: m, id: brokerID(m.ID, suffix)}
}

// brokerID makes a MessageId of an id: itself where the broker takes it, a
// digest where it does not, something random for none.
func brokerID(id, suffix string) string {
	switch {
	case id == "" && suffix == "":
		return uuid.NewString()
	case len(id)+len(suffix) <= maxBrokerID && utf8.ValidString(id):
		return id + suffix
	}
	digest := sha256.Sum256([]byte(id))
	return hex.EncodeToString(digest[:]) + suffix
}

// sequence names a message by its place in the queue.
func sequence(m *azservicebus.ReceivedMessage, prefix string) string {
	if m.SequenceNumber == nil {
		return prefix + m.MessageID
	}
	return prefix + strconv.FormatInt(*m.SequenceNumber, 36)
}

// encode makes a message of the SDK's. encoding is what was done to the body,
// if anything.
func (o outgoing) encode(body []byte, encoding string) *azservicebus.Message {
	m := &azservicebus.Message{Body: body, MessageID: &o.id, ApplicationProperties: map[string]any{propFormat: formatVersion}}
	for k, v := range o.message.Properties {
		m.ApplicationProperties[escapeName(k)] = value(v)
	}
	set := func(name, v string) {
		if v != "" {
			m.ApplicationProperties[name] = v
		}
	}
	if o.message.ID != o.id {
		m.ApplicationProperties[propID] = value(o.message.ID)
	}
	if o.attempt > 0 {
		set(propAttempt, strconv.Itoa(o.attempt))
	}
	set(propEnqueued, stamp(o.enqueued))
	set(propEncoding, encoding)
	if due := o.due(); !due.IsZero() {
		m.ScheduledEnqueueTime = &due
	}
	return m
}

// due is when the message is to be enqueued, zero for at once. Whole seconds,
// so that many messages share a batch; never early.
func (o outgoing) due() time.Time {
	if o.message.NotBefore.IsZero() {
		return time.Time{}
	}
	return o.message.NotBefore.Add(time.Second - 1).Truncate(time.Second).UTC()
}

// value keeps a text that is not UTF-8 as AMQP binary: AMQP strings are
// UTF-8.
func value(s string) any {
	if utf8.ValidString(s) {
		return s
	}
	return []byte(s)
}

func escapeName(name string) string {
	if name == "" || name == brokerReason || name == brokerDescription || strings.HasPrefix(name, reserved) || !utf8.ValidString(name) {
		return propEscaped + url.QueryEscape(name)
	}
	return name
}

// stamp writes a time, "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// clip cuts a text to at most n bytes between two characters, and makes it
// UTF-8.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
