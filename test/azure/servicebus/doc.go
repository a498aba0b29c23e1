// Package servicebus is an Azure Service Bus namespace that lives in a test's
// own process: queues with their laws behind AMQP 1.0, as the SDKs of Azure
// speak it, and the management interface over HTTP.
//
// A server and a client of it, over TCP:
//
//	s := servicebus.New(servicebus.Options{
//		Queues: map[string]servicebus.Queue{"orders": {MaxDeliveryCount: 3}},
//	})
//	defer s.Close()
//	if err := s.Start("127.0.0.1:0"); err != nil { ... }
//	client, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), nil)
//
// The same without a network, in a testing/synctest bubble where minutes pass
// in no time. An SDK that is given a connection of its own adds neither TLS nor
// WebSockets to it:
//
//	client, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(),
//		&azservicebus.ClientOptions{NewWebSocketConn: func(context.Context, azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
//			return s.Pipe(), nil
//		}})
//
// A test puts messages in with Deliver, looks at Counts and Stats, makes locks
// expire with ExpireLocks, and lets things go wrong by Faults:
//
//	f := servicebus.NewFaults(1)
//	f.On(servicebus.Settling, "orders").DropAfter() // completed, but the answer is lost
//	s := servicebus.New(servicebus.Options{Faults: f, ...})
//
// Clients must authenticate: by a token put to $cbs, signed with one of
// Options.Keys or accepted by Options.Token; or by SASL PLAIN with the name of
// a policy and its key.
//
// # What is simulated
//
//	transport       TCP, TLS, in-memory pipes; SASL ANONYMOUS, MSSBCBS, EXTERNAL, PLAIN; heartbeats, frame sizes,
//	                session windows, credit, drain, multi-frame transfers in both directions
//	$cbs            SAS tokens (signature, expiry, audience) and Entra tokens; links end when their token does
//	queues          FIFO, batches, peek-lock, receive-and-delete, locks, renewal, abandon, release, defer, dead letters,
//	                delivery count limit, time to live, duplicate detection, scheduled messages, properties to modify,
//	                limits of size
//	$management     renew-lock, peek-message, schedule-message, cancel-scheduled-message,
//	                receive-by-sequence-number, update-disposition
//	HTTP (Admin)    GET, PUT, DELETE of a queue, list of queues, with Azure's odd answer to GET of a missing one
//
// # What is not, or not in the same way
//
//	topics, sessions, transactions, auto-forwarding, partitions    refused, or unknown
//	AMQP over WebSockets                                           not listened for
//	throttling                                                     only by Faults
//	storage                                                        memory: a restart is a new namespace
//	sequence numbers                                               from 1, one up; dead letters keep theirs
//	x-opt-deadletter-source                                        on every dead letter; Azure sets it on forwarded ones
//	messages whose time to live is over                            go at once; Azure may take its time
//	locks of a client that disconnects                             stay until they expire, as in Azure
//	link and session state after a reconnect                       none is resumed
//
// # Time
//
// Locks, schedules, lifetimes, tokens and delays of Faults go by Options.Clock.
// Heartbeats and timeouts of connections belong to the network and go by the
// time package. With a clock.Manual start it near the present, because clients
// sign their tokens by the real time.
package servicebus
