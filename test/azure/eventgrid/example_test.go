package eventgrid_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/aznamespaces"

	"github.com/modelwarden/modelwarden/test/azure/clock"
	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

// A webhook that is down for a while gets its event in the end. An hour takes
// no time.
func ExampleTopic() {
	c := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	down := true
	webhook := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			w.Header().Set("WebHook-Allowed-Origin", "eventgrid.azure.net")
			return
		}
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Println(c.Now().Format(time.TimeOnly), "attempt", r.Header.Get("aeg-delivery-count"), "down:", down)
	})
	topic := eventgrid.NewTopic(eventgrid.TopicOptions{Clock: c, Client: &http.Client{Transport: eventgrid.Transport{Handler: webhook}}})
	err := topic.Subscribe(eventgrid.Subscription{Name: "orders", URL: "https://webhook.test/", Schema: eventgrid.CloudEvents})
	if err != nil {
		fmt.Println(err)
		return
	}
	topic.Publish(eventgrid.Event{ID: "1", Subject: "orders/1", Type: "OrderPlaced", Time: c.Now()})
	c.Advance(2 * time.Minute)
	down = false
	c.Advance(time.Hour)
	// Output:
	// 03:04:05 attempt 0 down: true
	// 03:04:35 attempt 1 down: true
	// 03:05:05 attempt 2 down: true
	// 03:06:05 attempt 3 down: true
	// 03:11:05 attempt 4 down: false
}

// The official client publishes to a namespace and receives from it.
func ExampleNamespace() {
	ns := eventgrid.NewNamespace(eventgrid.NamespaceOptions{Auth: eventgrid.Auth{Keys: []string{"key"}}})
	if err := ns.Subscribe("orders", eventgrid.QueueSubscription{Name: "worker"}); err != nil {
		fmt.Println(err)
		return
	}
	options, cred := azcore.ClientOptions{Transport: eventgrid.Transport{Handler: ns}}, azcore.NewKeyCredential("key")
	sender, err := aznamespaces.NewSenderClientWithSharedKeyCredential("https://ns.test", "orders", cred, &aznamespaces.SenderClientOptions{ClientOptions: options})
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver, err := aznamespaces.NewReceiverClientWithSharedKeyCredential("https://ns.test", "orders", "worker", cred, &aznamespaces.ReceiverClientOptions{ClientOptions: options})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := messaging.NewCloudEvent("/shop", "OrderPlaced", map[string]int{"n": 1}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := sender.SendEvent(context.Background(), &e, nil); err != nil {
		fmt.Println(err)
		return
	}
	page, err := receiver.ReceiveEvents(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range page.Details {
		fmt.Printf("%s %s, delivery %d\n", d.Event.Type, d.Event.Data, *d.BrokerProperties.DeliveryCount)
		done, err := receiver.AcknowledgeEvents(context.Background(), []string{*d.BrokerProperties.LockToken}, nil)
		fmt.Println(len(done.SucceededLockTokens), "acknowledged", err)
	}
	// Output:
	// OrderPlaced {"n":1}, delivery 1
	// 1 acknowledged <nil>
}
