package servicebus

import (
	"context"
	"errors"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// The SDK opens links at their first use, under the context of that use, and
// azservicebus v1.11.0 is frail there: two first uses at once open two links
// and forget one, with the goroutine that renews its token; a context that
// ends meanwhile costs everybody the connection. So links are opened here: one
// at a time, under the client's own context. Callers only wait.

// linked is an object of the SDK that lives on links.
type linked interface {
	comparable
	Close(context.Context) error
}

func (c *Client) newSender() (*azservicebus.Sender, error) { return c.sdk.NewSender(c.o.Queue, nil) }

func (c *Client) newReceiver() (*azservicebus.Receiver, error) {
	return c.sdk.NewReceiverForQueue(c.o.Queue, nil)
}

func (c *Client) newDeadReceiver() (*azservicebus.Receiver, error) {
	return c.sdk.NewReceiverForQueue(c.o.Queue, &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
}

// connectSender opens a sender's links: the size of a batch comes with them.
func connectSender(ctx context.Context, s *azservicebus.Sender) error {
	_, err := s.NewMessageBatch(ctx, nil)
	return err
}

// connectReceiver opens a receiver's links: to look at the first message
// needs them, and locks nothing. That the SDK can't read it does not matter.
func connectReceiver(ctx context.Context, r *azservicebus.Receiver) error {
	look := func(ctx context.Context) ([]*azservicebus.ReceivedMessage, error) { return r.PeekMessages(ctx, 1, nil) }
	if err := guarded(ctx, look).err; !errors.Is(err, errUnreadable) {
		return err
	}
	return nil
}

// connected creates an object of the SDK and opens its links. A caller whose
// ctx ends leaves at once; late gets what becomes of it.
func connected[T linked](ctx context.Context, c *Client, create func() (T, error), connect func(context.Context, T) error, late func(T)) (T, error) {
	return awaitAtMost(ctx, c, 0, func(context.Context) (object T, err error) {
		limited, cancel := context.WithTimeout(c.life, callLimit)
		defer cancel()
		select {
		case c.linking <- struct{}{}:
			defer func() { <-c.linking }()
		case <-limited.Done():
			return object, limited.Err()
		}
		if object, err = create(); err != nil {
			return object, err
		}
		if err = connect(limited, object); err != nil {
			c.dismiss(object.Close)
		}
		return object, err
	}, late)
}

// slot holds an object of the SDK that many calls share. It is opened when
// first needed and replaced when it is of no use any more.
type slot[T linked] struct {
	c       *Client
	create  func() (T, error)
	connect func(context.Context, T) error

	mu      sync.Mutex
	current T
	opening *opening[T] // nil when nobody opens
}

// opening is an attempt that others wait for as well.
type opening[T any] struct {
	done   chan struct{}
	object T
	err    error
}

// get gives the object, or opens it.
func (s *slot[T]) get(ctx context.Context) (T, error) {
	s.mu.Lock()
	var none T
	if s.current != none {
		defer s.mu.Unlock()
		return s.current, nil
	}
	o := s.opening
	if o == nil {
		o = &opening[T]{done: make(chan struct{})}
		s.opening = o
		s.c.background(func() { s.open(o) })
	}
	s.mu.Unlock()
	select {
	case <-o.done:
		return o.object, o.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (s *slot[T]) open(o *opening[T]) {
	o.object, o.err = connected(s.c.life, s.c, s.create, s.connect, func(late T) { s.c.dismiss(late.Close) })
	s.mu.Lock()
	if o.err == nil {
		s.current = o.object
	}
	s.opening = nil
	s.mu.Unlock()
	close(o.done)
}

// replace lets go of an object that failed, unless somebody did before.
func (s *slot[T]) replace(failed T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	if s.current == failed && failed != none {
		s.current = none
		s.c.dismiss(failed.Close)
	}
}

// dismiss closes an object of the SDK in the background.
func (c *Client) dismiss(closeIt func(context.Context) error) {
	c.background(func() {
		ctx, cancel := context.WithTimeout(c.life, closeLimit)
		defer cancel()
		_ = closeIt(ctx) // nothing depends on a goodbye over a broken link
	})
}

// background runs something that Close waits for. It is for use within calls.
func (c *Client) background(do func()) {
	c.work.Add(1)
	go func() {
		defer c.work.Done()
		do()
	}()
}
