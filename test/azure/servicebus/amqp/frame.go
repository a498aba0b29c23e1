package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Protocol headers that open each layer of a connection.
const (
	ProtocolAMQP = "AMQP\x00\x01\x00\x00"
	ProtocolTLS  = "AMQP\x02\x01\x00\x00"
	ProtocolSASL = "AMQP\x03\x01\x00\x00"
)

// Types of a frame.
const (
	FrameAMQP byte = 0
	FrameSASL byte = 1
)

// MinMaxFrameSize is the frame size that everybody must accept.
const MinMaxFrameSize = 512

// Frame is what travels on a connection.
type Frame struct {
	Type    byte
	Channel uint16
	// Body is a pointer to a performative, or nil in a heartbeat.
	Body any
	// Payload follows the performative of a transfer.
	Payload []byte
}

// ReadFrame reads a frame of at most max bytes. It returns io.EOF at the end
// of the input, io.ErrUnexpectedEOF within a frame.
func ReadFrame(r io.Reader, max uint32) (Frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	size, offset := binary.BigEndian.Uint32(head[:]), 4*uint32(head[4])
	if offset < 8 || size < offset {
		return Frame{}, errors.New("amqp: malformed frame header")
	}
	if size > max {
		return Frame{}, fmt.Errorf("amqp: a frame of %d bytes is larger than %d", size, max)
	}
	rest := make([]byte, size-8)
	if _, err := io.ReadFull(r, rest); err != nil {
		return Frame{}, io.ErrUnexpectedEOF
	}
	f := Frame{Type: head[5], Channel: binary.BigEndian.Uint16(head[6:])}
	return f, f.parse(rest[offset-8:])
}

// parse decodes what is behind the header.
func (f *Frame) parse(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	v, rest, err := Decode(body)
	if err != nil {
		return err
	}
	f.Payload = rest
	performative, err := Composite(v)
	if err != nil {
		return err
	}
	if _, known := codes[typeOf(performative)]; !known {
		return errors.New("amqp: unknown performative")
	}
	f.Body = performative
	return nil
}

// AppendFrame encodes a frame behind dst.
func AppendFrame(dst []byte, f Frame) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 2, f.Type, byte(f.Channel>>8), byte(f.Channel))
	if f.Body != nil {
		dst = AppendComposite(dst, f.Body)
	}
	dst = append(dst, f.Payload...)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}
