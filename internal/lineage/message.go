package lineage

// Properties of the messages in the queue. They say how to read the body and
// carry the facts of the delivery; an absent PropKind means KindEvent, so
// that a message which Event Grid put straight into the queue needs none.
const (
	// PropKind is one of the message kinds below.
	PropKind = "mw-kind"
	// PropReceived is when the subscriber accepted the event (RFC 3339).
	PropReceived = "mw-received"
	// PropVia names the way in: "webhook", "azure-monitor",
	// "eventgrid-pull", "servicebus", "sandbox", "reconciler", "backfill".
	PropVia = "mw-via"
	// PropProblem and PropProblemDetail say why a KindRaw body was not understood:
	// a short stable word, and a sentence.
	PropProblem       = "mw-problem"
	PropProblemDetail = "mw-problem-detail"
	// PropContentType is the media type of a KindRaw body.
	PropContentType = "mw-content-type"
	// PropShrunk says that the body did not fit the queue and what it was
	// before: "<bytes> bytes, sha256 <hex>". See event.Shrink.
	PropShrunk = "mw-shrunk"
	// PropFenced is "true" on a replay that may rebuild lineage but must not
	// act: no retrain, no page, no rollback.
	PropFenced = "mw-fenced"
	// PropSubscription and PropDeliveryCount are Event Grid's own headers.
	PropSubscription  = "aeg-subscription-name"
	PropDeliveryCount = "aeg-delivery-count"
	// PropAttempt is how often a KindEnrich was tried before.
	PropAttempt = "mw-attempt"
	// PropTraceParent is the W3C trace context of the request that brought
	// the event.
	PropTraceParent = "traceparent"
)

// Kinds of message.
const (
	// KindEvent: the body is one canonical CloudEvent, or anything else that
	// event.Split understands.
	KindEvent = "event"
	// KindRaw: the body is what a sender posted and nobody understood; it
	// goes to quarantine.
	KindRaw = "raw"
	// KindWake: the body is the id of an action whose next attempt is due.
	KindWake = "wake"
	// KindEnrich: the body is the log key of an event about which Azure
	// Machine Learning is to be asked; PropAttempt counts the times before.
	KindEnrich = "enrich"
	// KindRemind: the body is the id of something that time changes: a review,
	// a silence, a ticket.
	KindRemind = "remind"
)
