// Package servicebus is the product's queue and its dead letters on Azure
// Service Bus, by the official SDK.
//
// What a [lineage.Queue] promises and the broker does not have is made here:
//
//   - A retry with a delay is a scheduled copy that is sent before the original
//     is completed: a crash between the two repeats the message, never loses it.
//     The copy carries how often the message was tried and when it first came.
//   - Every copy has a message id of its own that a second try makes again, so
//     that a queue with duplicate detection drops the repeat and nothing else.
//   - A message that does not fit is compressed; one that still does not is
//     handed to the domain to be trimmed.
//   - A message that was delivered too often becomes a dead letter of ours before
//     a reader gets it; the broker's own limit counts as well and may be lower.
//   - A delivery whose link broke is settled by its lock token through the
//     queue's management node, as long as its lock holds.
//
// Leases are lock tokens. The broker alone decides whether one still holds: our
// clock and its clock need not agree.
//
// What the SDK does not do is watched here: calls that outlast their context
// are left behind (await.go), links that broke are opened anew, and its panics
// on foreign messages become errors.
package servicebus
