package servicebus_test

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

func Example() {
	s := servicebus.New(servicebus.Options{Queues: map[string]servicebus.Queue{"orders": {}}})
	defer s.Close()
	if err := s.Start("127.0.0.1:0"); err != nil {
		panic(err)
	}
	client, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), nil)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	defer func() { _ = client.Close(ctx) }()

	if err := s.Deliver("orders", servicebus.Message{Body: []byte("one coffee")}); err != nil {
		panic(err)
	}
	receiver, err := client.NewReceiverForQueue("orders", nil)
	if err != nil {
		panic(err)
	}
	messages, err := receiver.ReceiveMessages(ctx, 1, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(messages[0].Body), s.Counts("orders").Locked)
	// Output: one coffee 1
}
