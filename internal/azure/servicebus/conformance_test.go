package servicebus_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/porttest"
	"github.com/modelwarden/modelwarden/test/azure/clock"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// bubble runs a law in virtual time.
func bubble(t *testing.T, law func(t *testing.T)) { synctest.Test(t, law) }

// admin carries the management client's requests to the broker without a
// network.
type admin struct{ http.Handler }

func (a admin) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	response := w.Result()
	response.Request = r
	return response, nil
}

// rig is a broker with a client of its queue "q".
type rig struct {
	*servicebus.Client
	broker  *broker.Server
	faults  *broker.Faults
	options servicebus.Options
}

// newRig starts a broker in memory and a client of it; both end with the
// test.
func newRig(t *testing.T, q broker.Queue, o servicebus.Options) *rig {
	t.Helper()
	faults := broker.NewFaults(1)
	s := broker.New(broker.Options{Queues: map[string]broker.Queue{"q": q}, Faults: faults})
	t.Cleanup(s.Close)
	o.Queue, o.Admin = "q", admin{s.Admin()}
	if o.ConnectionString == "" {
		o.ConnectionString = s.ConnectionString()
	}
	if o.Dial == nil {
		o.Dial = func(context.Context) (net.Conn, error) { return s.Pipe(), nil }
	}
	r := &rig{broker: s, faults: faults, options: o}
	r.open(t)
	t.Cleanup(func() { _ = r.Client.Close() })
	return r
}

func (r *rig) open(t *testing.T) {
	t.Helper()
	c, err := servicebus.Open(r.options)
	if err != nil {
		t.Fatal(err)
	}
	r.Client = c
}

func (r *rig) Advance(d time.Duration) { time.Sleep(d) } // of virtual time

func (r *rig) Close(t *testing.T) {
	t.Helper()
	if err := r.Client.Close(); err != nil {
		t.Error(err)
	}
}

func (r *rig) Reopen(t *testing.T) {
	t.Helper()
	r.Close(t)
	r.open(t)
}

func backend(o servicebus.Options) porttest.QueueBackend {
	return porttest.QueueBackend{
		Around: bubble,
		Open: func(t *testing.T, law porttest.QueueOptions) porttest.QueueHarness {
			o := o
			o.MaxDeliveries = law.MaxDeliveries
			return newRig(t, broker.Queue{LockDuration: law.Lease, MaxDeliveryCount: 100}, o)
		},
	}
}

var _ porttest.QueueHarness = (*rig)(nil)

func TestQueue(t *testing.T)       { porttest.Queue(t, backend(servicebus.Options{})) }
func TestDeadLetters(t *testing.T) { porttest.DeadLetters(t, backend(servicebus.Options{})) }

// What was fetched ahead changes nothing that the laws speak of.
func TestQueueFetchingAhead(t *testing.T) {
	porttest.Queue(t, backend(servicebus.Options{Prefetch: 3}))
}

func TestDeadLettersFetchingAhead(t *testing.T) {
	porttest.DeadLetters(t, backend(servicebus.Options{Prefetch: 3}))
}

// tcpRig is a rig whose broker listens on TCP and goes by a clock of its own.
type tcpRig struct {
	rig
	clock *clock.Manual
}

// Advance moves the broker's clock, and a little more: it stands still while
// the law's own time goes on.
func (r *tcpRig) Advance(d time.Duration) { r.clock.Advance(d + 2*time.Second) }

// settled runs every law but one, which lets time pass while messages are on
// their way: over TCP nobody can tell when they have arrived.
func settled(t *testing.T, law func(t *testing.T)) {
	if !strings.HasSuffix(t.Name(), "/a_cancelled_receive_keeps_no_message_for_good") {
		law(t)
	}
}

func TestQueueOverTCP(t *testing.T) {
	porttest.Queue(t, porttest.QueueBackend{Around: settled, Open: func(t *testing.T, law porttest.QueueOptions) porttest.QueueHarness {
		r := &tcpRig{clock: clock.NewManual(time.Now())}
		q := broker.Queue{LockDuration: law.Lease, MaxDeliveryCount: 100}
		r.broker = broker.New(broker.Options{Clock: r.clock, Queues: map[string]broker.Queue{"q": q}})
		t.Cleanup(r.broker.Close)
		if err := r.broker.Start("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		r.options = servicebus.Options{
			ConnectionString: r.broker.ConnectionString(), Queue: "q", MaxDeliveries: law.MaxDeliveries, Now: r.clock.Now,
		}
		r.open(t)
		t.Cleanup(func() { _ = r.Client.Close() })
		return r
	}})
}
