// Package eventgrid is Azure Event Grid within a test's own process: push
// topics that deliver to webhooks and queues, the publish endpoint of custom
// topics, and namespaces with pull delivery. Official SDKs work against it,
// time is virtual, and things go wrong when a test says so.
//
// # Push
//
// A test of a webhook makes a topic, subscribes the webhook (the real
// handshake takes place) and lets events and time pass:
//
//	c := clock.NewManual(start)
//	topic := eventgrid.NewTopic(eventgrid.TopicOptions{
//		Clock:  c,
//		Client: &http.Client{Transport: eventgrid.Transport{Handler: webhook}},
//	})
//	err := topic.Subscribe(eventgrid.Subscription{Name: "orders", URL: "https://webhook.test/events"})
//	topic.Publish(eventgrid.Event{ID: "1", Subject: "orders/1", Type: "OrderPlaced", Time: c.Now()})
//	c.Advance(24 * time.Hour) // every delivery and retry of a day, in order, before it returns
//
// With a clock.Manual deliveries happen within Advance. With the default
// clock they happen by themselves; under testing/synctest that is virtual
// time, too.
//
// # Publish
//
// A Topic is an http.Handler for POST /api/events. In Go, give the SDK's
// client a Transport; from another process or language use StartTLS, because
// clients refuse to send keys without TLS:
//
//	client, err := azeventgrid.NewClientWithSharedKeyCredential("https://topic.test/api/events",
//		azcore.NewKeyCredential(key), &azeventgrid.ClientOptions{
//			ClientOptions: azcore.ClientOptions{Transport: eventgrid.Transport{Handler: topic}}})
//
// # Pull
//
// A Namespace is an http.Handler too, for azeventgrid's sibling aznamespaces
// and its likes:
//
//	ns := eventgrid.NewNamespace(eventgrid.NamespaceOptions{})
//	err := ns.Subscribe("orders", eventgrid.QueueSubscription{Name: "worker", LockDuration: time.Minute})
//	receiver, err := aznamespaces.NewReceiverClientWithSharedKeyCredential("https://ns.test", "orders", "worker",
//		azcore.NewKeyCredential(key), &aznamespaces.ReceiverClientOptions{
//			ClientOptions: azcore.ClientOptions{Transport: eventgrid.Transport{Handler: ns}}})
//
// # Faults
//
// Faults decides, by script or by probabilities from a seed, which operations
// are throttled, refused, left without an answer, broken before or after they
// took effect, and so on; see Fault.
//
// # What is simulated and what is not
//
//	handshakes            validation code answered with 200 in 30 s; CloudEvents OPTIONS. Not: validationUrl, WebHook-Request-Callback
//	delivery              aeg-* headers, delivery properties, Entra token, batches, success 200 to 204, 30 s timeout
//	retries               the documented schedule, the longer waits of 408 and 503, time to live, attempts. Not: the small randomization
//	no retry              400, 401, 403, 404, 413 of webhooks. Not: the longer waits that some of them get without dead-lettering
//	endpoint health       ten failures in a row hold everything back for 1 minute, doubling to 1 hour. The times are this package's
//	dead letters          at once, through a function, with the service's JSON. Not: the five minutes' delay, storage accounts
//	queues                body and properties through a function, one event or an array. Not: sessions, storage queues, hubs
//	duplicates, order     by Faults; else each event once, in the order of publishing
//	publishing            both schemas, CloudEvents structured, batched and binary; key, SAS token, bearer; 1 MB. Not: custom input schema, domains, channels
//	filters               none: a subscription gets everything
//	namespace             publish, receive, acknowledge, release with delay, reject, renewLock; locks, delivery count, time to live, dead letters
//	namespace, failures   TokenLost and BadToken per lock token; 400, 401, 403, 404 (subscription), 410 (topic), 413. Not: quotas, throughput units
//	namespace, the rest   Not: push delivery from namespaces, MQTT, shared access signatures, management of resources
//
// What it does is taken from Microsoft's pages "Event Grid message delivery
// and retry", "Webhook event delivery", "Delivery headers", "Publish events
// to Azure Event Grid custom topics" and "Azure Event Grid namespace - Data
// Plane REST", and from the official Go clients' own tests.
package eventgrid
