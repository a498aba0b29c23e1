package amqp

import (
	"errors"
	"fmt"
	"time"
)

// Descriptors of a message's sections (part 3, 3.2).
const (
	sectionHeader              = 0x70
	sectionDeliveryAnnotations = 0x71
	sectionAnnotations         = 0x72
	sectionProperties          = 0x73
	sectionApplication         = 0x74
	sectionData                = 0x75
	sectionFooter              = 0x78
)

// Header is the section that brokers may change.
type Header struct {
	Durable       bool
	Priority      *uint8
	TTL           *uint32 // milliseconds
	FirstAcquirer bool
	DeliveryCount uint32
}

// Properties are the standard ones of a message, set by its sender.
type Properties struct {
	MessageID          any
	UserID             []byte
	To                 any
	Subject            *string
	ReplyTo            any
	CorrelationID      any
	ContentType        Symbol
	ContentEncoding    Symbol
	AbsoluteExpiryTime time.Time
	CreationTime       time.Time
	GroupID            *string
	GroupSequence      *uint32
	ReplyToGroupID     *string
}

// Message is a message in sections. Body and footer are kept as they came.
type Message struct {
	Header                *Header
	DeliveryAnnotations   Map
	Annotations           Map
	Properties            *Properties
	ApplicationProperties Map
	// Body is the encoded body: data, sequence or value sections, and the
	// footer.
	Body []byte
}

// ParseMessage splits an encoded message. The result shares memory with b.
func ParseMessage(b []byte) (*Message, error) {
	m := new(Message)
	for len(b) > 0 {
		v, rest, err := Decode(b)
		if err != nil {
			return nil, err
		}
		d, ok := v.(*Described)
		if !ok {
			return nil, fmt.Errorf("amqp: a %T where a section of a message should be", v)
		}
		code, known := descriptorCode(d.Descriptor)
		if !known || code < sectionHeader || code > sectionFooter {
			return nil, fmt.Errorf("amqp: unknown section %v", d.Descriptor)
		}
		if code >= sectionData {
			m.Body = b
			return m, checkBody(rest)
		}
		if err := m.set(code, d); err != nil {
			return nil, err
		}
		b = rest
	}
	return m, nil
}

// checkBody makes sure that nothing but body sections and a footer follows.
func checkBody(b []byte) error {
	for len(b) > 0 {
		v, rest, err := Decode(b)
		if err != nil {
			return err
		}
		d, ok := v.(*Described)
		if !ok {
			return errors.New("amqp: not a section of a message")
		}
		if code, _ := descriptorCode(d.Descriptor); code < sectionData || code > sectionFooter {
			return fmt.Errorf("amqp: section %v after the body", d.Descriptor)
		}
		b = rest
	}
	return nil
}

// set puts a section that stands before the body into its field.
func (m *Message) set(code uint64, d *Described) error {
	switch code {
	case sectionHeader, sectionProperties:
		c, err := Composite(d)
		if err != nil {
			return err
		}
		if h, ok := c.(*Header); ok {
			m.Header = h
		} else {
			m.Properties = c.(*Properties)
		}
		return nil
	}
	section, ok := d.Value.(Map)
	if !ok && d.Value != nil {
		return fmt.Errorf("amqp: section %#x holds a %T, not a map", code, d.Value)
	}
	switch code {
	case sectionDeliveryAnnotations:
		m.DeliveryAnnotations = section
	case sectionAnnotations:
		m.Annotations = section
	case sectionApplication:
		m.ApplicationProperties = section
	}
	return nil
}

// Append encodes the message behind dst.
func (m *Message) Append(dst []byte) []byte {
	if m.Header != nil {
		dst = AppendComposite(dst, m.Header)
	}
	dst = appendSection(dst, sectionDeliveryAnnotations, m.DeliveryAnnotations)
	dst = appendSection(dst, sectionAnnotations, m.Annotations)
	if m.Properties != nil {
		dst = AppendComposite(dst, m.Properties)
	}
	dst = appendSection(dst, sectionApplication, m.ApplicationProperties)
	return append(dst, m.Body...)
}

// appendSection leaves out a section without entries.
func appendSection(dst []byte, code uint64, section Map) []byte {
	if len(section) == 0 {
		return dst
	}
	return Append(dst, &Described{Descriptor: code, Value: section})
}

// Sections are the values of the body's sections: []byte of data sections, a
// List of each sequence, the value of a value section.
func (m *Message) Sections() []any {
	var out []any
	for b := m.Body; len(b) > 0; {
		v, rest, err := Decode(b)
		if err != nil {
			return out
		}
		d, ok := v.(*Described)
		if code, _ := descriptorCode(d.Descriptor); !ok || code == sectionFooter {
			return out
		}
		out = append(out, d.Value)
		b = rest
	}
	return out
}

// DataBody encodes a body of one data section.
func DataBody(data []byte) []byte {
	return Append(nil, &Described{Descriptor: uint64(sectionData), Value: data})
}

// ValueBody encodes a body of one value section.
func ValueBody(v any) []byte {
	return Append(nil, &Described{Descriptor: uint64(0x77), Value: v})
}
