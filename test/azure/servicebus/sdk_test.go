package servicebus_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// within runs a test in a bubble of virtual time with a server that has a
// queue "events" and a client of it.
func within(t *testing.T, o servicebus.Options, f func(t *testing.T, s *servicebus.Server, c *azservicebus.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if o.Queues == nil {
			o.Queues = map[string]servicebus.Queue{"events": {}}
		}
		s := servicebus.New(o)
		defer s.Close()
		c := dial(t, s)
		defer func() { _ = c.Close(context.Background()) }()
		f(t, s, c)
	})
}

// dial makes a client whose connections are pipes to the server.
func dial(t *testing.T, s *servicebus.Server) *azservicebus.Client {
	t.Helper()
	c, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), &azservicebus.ClientOptions{
		NewWebSocketConn: func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			return s.Pipe(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSendReceiveComplete(t *testing.T) {
	within(t, servicebus.Options{Log: t.Logf}, func(t *testing.T, s *servicebus.Server, c *azservicebus.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sender, err := c.NewSender("events", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.SendMessage(ctx, &azservicebus.Message{Body: []byte("hello")}, nil); err != nil {
			t.Fatal(err)
		}
		receiver, err := c.NewReceiverForQueue("events", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := receiver.ReceiveMessages(ctx, 10, nil)
		if err != nil || len(got) != 1 || string(got[0].Body) != "hello" {
			t.Fatalf("received %v, %v", got, err)
		}
		if err := receiver.CompleteMessage(ctx, got[0], nil); err != nil {
			t.Fatal(err)
		}
		if n := s.Counts("events"); n != (servicebus.Counts{}) {
			t.Errorf("left in the queue: %+v", n)
		}
	})
}
