package servicebus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// The SDK opens links at their first use, under the context of that use, and
// azservicebus v1.11.0 is frail there: two first uses at once open two links
// and forget one, with the goroutine that renews its token; a context that
// ends meanwhile costs everybody the connection. The same happens when it
// opens a broken link anew. So it is not let: links are opened here, one at a
// time and under the client's own context, while callers only wait; it makes
// no second tries; and a link that broke is replaced by a new one, here.

// A call that failed in passing is tried again a few times, for two seconds in
// all: long enough to get over a broken connection. Longer waiting is left to
// the callers of Queue.
const (
	maxTries   = 4
	firstPause = 250 * time.Millisecond
)

// pause waits before the try after the given one; false when ctx ended.
func pause(ctx context.Context, try int) bool {
	t := time.NewTimer(firstPause << try)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

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
		for try := range maxTries {
			object, err = connectedOnce(limited, c, create, connect)
			if err == nil || !classify(err).retryable || !pause(limited, try) {
				break
			}
		}
		return object, err
	}, late)
}

func connectedOnce[T linked](ctx context.Context, c *Client, create func() (T, error), connect func(context.Context, T) error) (object T, err error) {
	if err := c.linking.take(ctx); err != nil {
		return object, err
	}
	defer c.linking.give()
	if object, err = create(); err != nil {
		return object, err
	}
	if err = connect(ctx, object); err != nil {
		c.dismiss(object.Close)
	}
	return object, err
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

// use calls the object, within a limit for each try. A call that got no answer
// is not tried again: that would double the limit.
func (s *slot[T]) use(ctx context.Context, limit time.Duration, call func(context.Context, T) error) error {
	for try := 0; ; try++ {
		object, err := s.get(ctx)
		if err != nil {
			return err
		}
		err = s.c.do(ctx, limit, func(ctx context.Context) error { return call(ctx, object) })
		if err == nil || ctx.Err() != nil {
			return err
		}
		m := classify(err)
		if m.relink {
			s.replace(object)
		}
		if m == noAnswer || !m.retryable || try == maxTries-1 || !pause(ctx, try) {
			return err
		}
	}
}

// replace lets go of an object that failed, unless somebody did before.
func (s *slot[T]) replace(failed T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	if s.current == failed {
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
