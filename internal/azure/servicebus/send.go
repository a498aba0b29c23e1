package servicebus

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"sort"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// sendWidth is how many batches of one call are under way at once.
const sendWidth = 4

// maxUnzipped bounds what a compressed body may grow to.
const maxUnzipped = 64 << 20

// Send implements lineage.Queue. A message that does not fit is compressed,
// then trimmed by Options.Shrink.
func (q queue) Send(ctx context.Context, messages []lineage.Message) error {
	ctx, leave, err := q.c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	all := make([]outgoing, len(messages))
	for i, m := range messages {
		all[i] = fresh(m)
	}
	return q.c.send(ctx, all)
}

// send makes all messages durable. Nothing is sent before every message has
// found its place in a batch.
func (c *Client) send(ctx context.Context, all []outgoing) error {
	if len(all) == 0 {
		return nil
	}
	batches, err := c.fill(ctx, all)
	if err == nil {
		errs := make([]error, len(batches))
		each(len(batches), sendWidth, func(i int) {
			errs[i] = c.sender.use(ctx, callLimit, func(ctx context.Context, s *azservicebus.Sender) error {
				return s.SendMessageBatch(ctx, batches[i], nil)
			})
		})
		for i := 0; i < len(errs) && err == nil; i++ {
			err = errs[i]
		}
	}
	return c.fault(ctx, "send to "+c.o.Queue, err)
}

// fill puts messages into batches. Those of a batch are due at the same time,
// because the SDK stamps a batch as a whole with the first one's.
func (c *Client) fill(ctx context.Context, all []outgoing) (batches []*azservicebus.MessageBatch, err error) {
	open := map[int64]*azservicebus.MessageBatch{}
	for _, o := range all {
		due := o.due().Unix()
		b := open[due]
		if b != nil {
			err = b.AddMessage(o.encode(o.message.Body, ""), nil)
		}
		if b == nil || errors.Is(err, azservicebus.ErrMessageTooLarge) {
			if b, err = c.newBatch(ctx); err != nil {
				return nil, err
			}
			open[due], batches = b, append(batches, b)
			err = c.addFirst(ctx, b, o)
		}
		if err != nil {
			return nil, err
		}
	}
	return batches, nil
}

// newBatch makes an empty batch. Only the sender's link knows its size.
func (c *Client) newBatch(ctx context.Context) (*azservicebus.MessageBatch, error) {
	var batch *azservicebus.MessageBatch
	err := c.sender.use(ctx, callLimit, func(ctx context.Context, s *azservicebus.Sender) error {
		b, err := s.NewMessageBatch(ctx, nil)
		batch = b
		return err
	})
	if err != nil {
		return nil, err
	}
	return batch, nil
}

// addFirst adds a message to an empty batch: as it is, compressed, or trimmed
// and compressed, whichever fits first.
func (c *Client) addFirst(ctx context.Context, b *azservicebus.MessageBatch, o outgoing) error {
	err := addPacked(b, o, o.message.Body)
	if !errors.Is(err, azservicebus.ErrMessageTooLarge) || c.o.Shrink == nil {
		return err
	}
	packed := len(zip(o.message.Body))
	room, err := c.room(ctx, o.shrunk(), packed)
	if err != nil {
		return err
	}
	return c.addTrimmed(b, o, room, packed)
}

// addPacked adds a message with a body as it is or, if it does not fit,
// compressed.
func addPacked(b *azservicebus.MessageBatch, o outgoing, body []byte) error {
	err := b.AddMessage(o.encode(body, ""), nil)
	if errors.Is(err, azservicebus.ErrMessageTooLarge) {
		err = b.AddMessage(o.encode(zip(body), gzipped), nil)
	}
	return err
}

// addTrimmed lets the domain trim a body to what fits compressed, if the rest
// compresses as well as the whole; otherwise to what fits at all events.
func (c *Client) addTrimmed(b *azservicebus.MessageBatch, o outgoing, room, packed int) error {
	body := o.message.Body
	asWhole := int(int64(room) * int64(len(body)) / int64(packed) * 9 / 10)
	for _, limit := range []int{max(asWhole, room), room} {
		smaller, ok := c.o.Shrink(body, limit)
		if !ok {
			continue
		}
		if err := addPacked(b, o.shrunk(), smaller); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
			return err
		}
	}
	return azservicebus.ErrMessageTooLarge
}

// shrunk is the message with a note of what its body was.
func (o outgoing) shrunk() outgoing {
	properties := map[string]string{lineage.PropShrunk: fmt.Sprintf("%d bytes, sha256 %x", len(o.message.Body), sha256.Sum256(o.message.Body))}
	maps.Copy(properties, o.message.Properties)
	o.message.Properties = properties
	return o
}

// room is the longest body, below a length that is too much, with which a
// message fits. The SDK knows the limit and does not tell.
func (c *Client) room(ctx context.Context, o outgoing, tooMuch int) (int, error) {
	var fault error
	n := sort.Search(tooMuch, func(n int) bool {
		if fault != nil {
			return false
		}
		b, err := c.newBatch(ctx)
		if err != nil {
			fault = err
			return false
		}
		return errors.Is(b.AddMessage(o.encode(make([]byte, n), gzipped), nil), azservicebus.ErrMessageTooLarge)
	})
	return max(0, n-1), fault
}

func zip(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body) // a Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// unzip is the inverse of zip, up to maxUnzipped.
func unzip(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r, maxUnzipped+1))
	if err == nil && len(body) > maxUnzipped {
		err = errors.New("the body is a bomb")
	}
	return body, err
}
