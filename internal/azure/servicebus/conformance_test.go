package servicebus_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/porttest"
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
