package servicebus

import (
	"crypto/subtle"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// negotiating is how long a client may take from the first byte to the AMQP
// header.
const negotiating = time.Minute

// negotiate exchanges protocol headers, with SASL before AMQP if the client
// wants it.
func (c *conn) negotiate() error {
	_ = c.nc.SetReadDeadline(time.Now().Add(negotiating))
	header, err := c.header()
	if err != nil {
		return err
	}
	if header == amqp.ProtocolSASL {
		if err := c.sasl(); err != nil {
			return err
		}
		if header, err = c.header(); err != nil {
			return err
		}
	}
	if header != amqp.ProtocolAMQP {
		c.out.add([]byte(amqp.ProtocolSASL)) // what we would have liked
		return fmt.Errorf("unknown protocol header %q", header)
	}
	c.out.add([]byte(amqp.ProtocolAMQP))
	return nil
}

func (c *conn) header() (string, error) {
	var b [8]byte
	_, err := io.ReadFull(c.in, b[:])
	return string(b[:]), err
}

// sasl lets everybody in who does not show wrong credentials: rights come from
// tokens put to $cbs.
func (c *conn) sasl() error {
	c.out.add([]byte(amqp.ProtocolSASL))
	c.sendSASL(&amqp.SASLMechanisms{Mechanisms: []amqp.Symbol{"MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"}})
	f, err := amqp.ReadFrame(c.in, amqp.MinMaxFrameSize)
	if err != nil {
		return err
	}
	init, ok := f.Body.(*amqp.SASLInit)
	if !ok || f.Type != amqp.FrameSASL {
		return fmt.Errorf("%T where a SASL init should be", f.Body)
	}
	switch init.Mechanism {
	case "ANONYMOUS", "MSSBCBS", "EXTERNAL":
	case "PLAIN":
		if err := c.plain(init.InitialResponse); err != nil {
			c.sendSASL(&amqp.SASLOutcome{Code: 1})
			return err
		}
	default:
		c.sendSASL(&amqp.SASLOutcome{Code: 1})
		return fmt.Errorf("unknown SASL mechanism %q", init.Mechanism)
	}
	c.sendSASL(&amqp.SASLOutcome{})
	return nil
}

func (c *conn) sendSASL(body any) {
	c.out.add(amqp.AppendFrame(nil, amqp.Frame{Type: amqp.FrameSASL, Body: body}))
}

// plain takes a policy's name and key; they claim the whole namespace for as
// long as the connection lives.
func (c *conn) plain(response []byte) error {
	parts := strings.Split(string(response), "\x00")
	if len(parts) != 3 {
		return fmt.Errorf("malformed PLAIN response")
	}
	key, known := c.s.o.Keys[parts[1]]
	if !known || subtle.ConstantTimeCompare([]byte(parts[2]), []byte(key.Key)) != 1 {
		return fmt.Errorf("wrong key for policy %q", parts[1])
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.claim("", key.Rights, time.Time{})
	return nil
}
