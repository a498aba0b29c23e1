package servicebus

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// linger is how long a receive waits for more once it has a message: long
// enough for what the broker sends in one go.
const linger = 5 * time.Millisecond

// firstWindow is how many messages a fresh link asks for at most.
const firstWindow = 16

// link is a receiving link. One caller at a time may use it: the SDK does not
// allow more.
type link struct {
	*source
	// window bounds what the next receive asks for. The SDK can't take back
	// credit: what a receive asked for and did not get comes while nobody
	// receives, and the SDK sends it back. So a link asks for as much as it
	// got last time, and for twice that once it got all.
	window int
}

// source is the receiver that messages came by and are settled over, until
// one can't be. The SDK takes seconds to notice a dead link with each message
// anew; the others need not try. And it opens a link that it closed once for
// each verdict under way, and forgets all but one: that can't be prevented
// altogether when a single link breaks under verdicts, while the end of the
// connection, which is what happens, ends the verdicts first.
type source struct {
	*azservicebus.Receiver
	alive context.Context // ends with the connection, or by die
	die   context.CancelFunc
}

func (s *source) dead() bool { return s.alive.Err() != nil }

// batch is what one receive brought.
type batch struct {
	messages []*azservicebus.ReceivedMessage
	from     *source
}

// newSource makes a source of a receiver that was just opened.
func (c *Client) newSource(r *azservicebus.Receiver) *source {
	s := &source{Receiver: r}
	s.alive, s.die = context.WithCancel(c.line.Load().alive)
	return s
}

func (c *Client) newLink(r *azservicebus.Receiver) *link {
	return &link{source: c.newSource(r), window: firstWindow}
}

// pool hands out the links. The one used last comes first, because it may
// have credit left.
type pool struct {
	c    *Client
	free turns // one for each link that may be in use

	mu   sync.Mutex
	idle []*link
}

func newPool(c *Client) *pool {
	return &pool{c: c, free: make(turns, c.o.Receivers)}
}

// take waits for a link.
func (p *pool) take(ctx context.Context) (*link, error) {
	if err := p.free.take(ctx); err != nil {
		return nil, err
	}
	if l := p.pop(); l != nil {
		return l, nil
	}
	// A link that comes too late for its caller is there for the next one.
	r, err := connected(ctx, p.c, p.c.newReceiver, connectReceiver, p.push)
	if err != nil {
		p.free.give()
		return nil, err
	}
	return p.c.newLink(r), nil
}

// pop is the link used last, nil if there is none that is whole.
func (p *pool) pop() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle) - 1; n >= 0; n-- {
		l := p.idle[n]
		p.idle = p.idle[:n]
		if !l.dead() {
			return l
		}
		p.c.dismiss(l.Close)
	}
	return nil
}

// push keeps a link that is open and in nobody's hands. There are never many
// more than may be in use.
func (p *pool) push(r *azservicebus.Receiver) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= cap(p.free) {
		p.c.dismiss(r.Close)
		return
	}
	p.idle = append(p.idle, p.c.newLink(r))
}

// put takes a link back; a broken one is closed. What was received over it is
// then settled by lock token.
func (p *pool) put(l *link) {
	if l.dead() {
		p.c.dismiss(l.Close)
	} else {
		p.mu.Lock()
		p.idle = append(p.idle, l)
		p.mu.Unlock()
	}
	p.free.give()
}

// close closes the links that nobody uses.
func (p *pool) close(ctx context.Context) {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	each(len(idle), maxReceivers, func(i int) { _ = idle[i].Close(ctx) })
}

// receive waits for messages on a link and takes the link back. No messages
// and no error mean that the link broke: the SDK then says nothing.
func (p *pool) receive(ctx context.Context, l *link, max int) (got batch, err error) {
	whole, start := false, time.Now() // nor is it whole if the SDK panics
	defer func() {
		if !whole {
			l.die()
		}
		p.put(l)
	}()
	ask := min(max, l.window) + p.c.o.Prefetch
	ms, err := l.ReceiveMessages(ctx, ask, &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: linger})
	// A link that broke after it brought something goes unmentioned too, but
	// then the SDK did not linger.
	early := len(ms) < ask && time.Since(start) < linger
	whole = ctx.Err() != nil || len(ms) > 0 && !early
	switch {
	case len(ms) == ask:
		l.window = min(2*l.window, maxWindow)
	case len(ms) > 0:
		l.window = len(ms)
	}
	return batch{ms, l.source}, err
}
