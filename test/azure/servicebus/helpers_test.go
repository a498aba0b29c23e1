package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	goamqp "github.com/Azure/go-amqp"
	"go.uber.org/goleak"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a server in a bubble of virtual time, with a client of its queue
// "events" and the verbs that tests use most.
type desk struct {
	*testing.T
	s   *servicebus.Server
	c   *azservicebus.Client
	ctx context.Context
}

// within runs a test at such a desk. Goroutines that outlive the test make it
// fail: the bubble can't end with them.
func within(t *testing.T, o servicebus.Options, f func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if o.Queues == nil {
			o.Queues = map[string]servicebus.Queue{"events": {}}
		}
		s := servicebus.New(o)
		defer s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
		defer cancel()
		c := dial(t, s)
		defer func() { _ = c.Close(ctx) }()
		f(&desk{t, s, c, ctx})
	})
}

// queue are options with one queue, "events".
func queue(q servicebus.Queue) servicebus.Options {
	return servicebus.Options{Queues: map[string]servicebus.Queue{"events": q}}
}

// dial makes a client whose connections are pipes to the server.
func dial(t *testing.T, s *servicebus.Server) *azservicebus.Client {
	t.Helper()
	c, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), pipes(s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pipes(s *servicebus.Server) *azservicebus.ClientOptions {
	return &azservicebus.ClientOptions{
		NewWebSocketConn: func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			return s.Pipe(), nil
		},
		RetryOptions: azservicebus.RetryOptions{MaxRetries: 2, RetryDelay: 100 * time.Millisecond, MaxRetryDelay: time.Second},
	}
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// sender and receiver of the queue.
func (d *desk) sender() *azservicebus.Sender {
	d.Helper()
	s, err := d.c.NewSender("events", nil)
	d.must(err)
	return s
}

func (d *desk) receiver() *azservicebus.Receiver {
	d.Helper()
	r, err := d.c.NewReceiverForQueue("events", nil)
	d.must(err)
	return r
}

func (d *desk) deadLetters() *azservicebus.Receiver {
	d.Helper()
	r, err := d.c.NewReceiverForQueue("events", &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	d.must(err)
	return r
}

// send sends messages with these bodies, one by one.
func (d *desk) send(bodies ...string) {
	d.Helper()
	s := d.sender()
	for _, body := range bodies {
		d.must(s.SendMessage(d.ctx, &azservicebus.Message{Body: []byte(body)}, nil))
	}
	d.must(s.Close(d.ctx))
}

// take receives exactly n messages.
func (d *desk) take(r *azservicebus.Receiver, n int) []*azservicebus.ReceivedMessage {
	d.Helper()
	var got []*azservicebus.ReceivedMessage
	for len(got) < n {
		ctx, cancel := context.WithTimeout(d.ctx, time.Minute/2)
		more, err := r.ReceiveMessages(ctx, n-len(got), nil)
		cancel()
		if err != nil {
			d.Fatalf("received %d of %d: %v", len(got), n, err)
		}
		got = append(got, more...)
	}
	return got
}

// nothing makes sure that no message comes within a second.
func (d *desk) nothing(r *azservicebus.Receiver) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.ctx, time.Second)
	defer cancel()
	got, err := r.ReceiveMessages(ctx, 1, nil)
	if len(got) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		d.Fatalf("received %v, %v; want nothing", bodies(got), err)
	}
}

func bodies(messages []*azservicebus.ReceivedMessage) []string {
	var out []string
	for _, m := range messages {
		out = append(out, string(m.Body))
	}
	return out
}

func (d *desk) same(what string, got, want []string) {
	d.Helper()
	if !slices.Equal(got, want) {
		d.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// counts compares the queue's counts.
func (d *desk) counts(want servicebus.Counts) {
	d.Helper()
	if got := d.s.Counts("events"); got != want {
		d.Fatalf("counts %+v, want %+v", got, want)
	}
}

// code asserts that an error is one of the SDK's codes.
func (d *desk) code(err error, want azservicebus.Code) {
	d.Helper()
	var sb *azservicebus.Error
	if !errors.As(err, &sb) || sb.Code != want {
		d.Fatalf("error %v, want code %s", err, want)
	}
}

// condition asserts that an error comes from an AMQP error.
func (d *desk) condition(err error, want string) {
	d.Helper()
	var e *goamqp.Error
	if !errors.As(err, &e) || string(e.Condition) != want {
		d.Fatalf("error %v, want %s", err, want)
	}
}

func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}
