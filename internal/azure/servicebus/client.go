package servicebus

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Limits of single calls of the SDK. What has no limit here ends with its
// caller's context.
const (
	callLimit  = 30 * time.Second // sending, peeking, checking
	closeLimit = 5 * time.Second
)

// Client is one queue and its dead letters. It is safe for concurrent use.
type Client struct {
	o       Options
	host    string
	secrets *strings.Replacer
	sdk     *azservicebus.Client
	admin   *admin.Client // nil where there is nobody to ask

	life context.Context // ends with Close
	end  context.CancelCauseFunc
	mu   sync.Mutex // guards closed, and work against its Wait
	// closed refuses new calls.
	closed bool
	// work counts calls and what they left behind.
	work sync.WaitGroup

	line      atomic.Pointer[line] // the connection, nil before the first
	sender    slot[*azservicebus.Sender]
	manager   slot[*azservicebus.Receiver] // renews and settles by lock token
	graveyard slot[*azservicebus.Receiver] // peeks at the dead letters, and settles them by lock token
	digging   turns                        // for who locks a dead letter
	linking   turns                        // for who opens links
	pool      *pool
	ahead     *ahead
	leases    leases
	depth     depth
	health    health
}

// Open makes a client. It connects to nothing: that is left to the first
// call, and to Check.
func Open(o Options) (*Client, error) {
	o, at, err := o.complete()
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, host: at.host, secrets: at.redactor(), digging: make(turns, 1), linking: make(turns, 1)}
	c.depth.turn = make(turns, 1)
	c.life, c.end = context.WithCancelCause(context.Background())
	if c.sdk, err = c.connect(); err == nil {
		c.admin, err = o.administer(at.emulator)
	}
	if err != nil {
		return nil, errors.New("service bus: " + c.secrets.Replace(err.Error()))
	}
	c.openSlots()
	c.pool = newPool(c)
	c.ahead = newAhead(c)
	return c, nil
}

// connect makes the SDK's client. It does not retry: see open.go.
func (c *Client) connect() (*azservicebus.Client, error) {
	options := &azservicebus.ClientOptions{
		ApplicationID:    "modelwarden",
		RetryOptions:     azservicebus.RetryOptions{MaxRetries: -1},
		NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) { return c.dial(ctx) },
	}
	if c.o.ConnectionString != "" {
		return azservicebus.NewClientFromConnectionString(c.o.ConnectionString, options)
	}
	return azservicebus.NewClient(c.o.Namespace, c.o.Credential, options)
}

func (c *Client) openSlots() {
	c.sender = slot[*azservicebus.Sender]{c: c, create: c.newSender, connect: connectSender}
	c.manager = slot[*azservicebus.Receiver]{c: c, create: c.newReceiver, connect: connectReceiver}
	c.graveyard = slot[*azservicebus.Receiver]{c: c, create: c.newDeadReceiver, connect: connectReceiver}
}

// Queue is the queue.
func (c *Client) Queue() lineage.Queue { return queue{c} }

// DeadLetters are the queue's dead letters.
func (c *Client) DeadLetters() lineage.DeadLetters { return deadLetters{c} }

// queue and deadLetters are the two faces of a client.
type (
	queue       struct{ c *Client }
	deadLetters struct{ c *Client }
)

// enter begins a call. The context that it returns ends with the caller's and
// with the client; leave must be called.
func (c *Client) enter(ctx context.Context) (inner context.Context, leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, lineage.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	c.work.Add(1)
	inner, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(lineage.ErrClosed) })
	return inner, func() { stop(); cancel(nil); c.work.Done() }, nil
}

// Close ends all calls with lineage.ErrClosed, gives back what was fetched
// ahead and closes the connection. Deliveries that were handed out keep their
// locks until these end. A second Close does nothing.
func (c *Client) Close() error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	if again {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	c.stop(ctx)
	hangUp := func() { _ = c.sdk.Close(ctx) } // it only reports links that were broken before
	if within(ctx, hangUp) {
		return nil
	}
	// Something hangs. To close again, without patience, skips the links and
	// cuts the connection, which frees whatever waits on it.
	go hangUp()
	return errors.New("service bus: the broker did not confirm the end of the connection")
}

// stop ends all calls and gives back what was fetched ahead. Its links are
// closed before: they may have credit left, on which it would come again.
func (c *Client) stop(ctx context.Context) {
	var others *azservicebus.Receiver
	if c.o.Prefetch > 0 {
		others, _ = c.manager.get(ctx)
	}
	c.end(lineage.ErrClosed)
	within(ctx, c.work.Wait)
	if kept := c.ahead.empty(); others != nil && len(kept) > 0 {
		c.pool.close(ctx)
		abandonByToken(ctx, others, kept)
	}
}

// within tells whether wait returns before ctx ends.
func within(ctx context.Context, wait func()) bool {
	done := make(chan struct{})
	go func() {
		wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
