package servicebus

import "github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"

// Error conditions of AMQP 1.0 and, with "com.microsoft:", those of
// Microsoft's "AMQP errors in Azure Service Bus".
const (
	condNotFound        amqp.Symbol = "amqp:not-found"
	condUnauthorized    amqp.Symbol = "amqp:unauthorized-access"
	condDecode          amqp.Symbol = "amqp:decode-error"
	condNotAllowed      amqp.Symbol = "amqp:not-allowed"
	condInvalidField    amqp.Symbol = "amqp:invalid-field"
	condNotImplemented  amqp.Symbol = "amqp:not-implemented"
	condResourceLimit   amqp.Symbol = "amqp:resource-limit-exceeded"
	condForced          amqp.Symbol = "amqp:connection:forced"
	condFraming         amqp.Symbol = "amqp:connection:framing-error"
	condHandleInUse     amqp.Symbol = "amqp:session:handle-in-use"
	condUnattached      amqp.Symbol = "amqp:session:unattached-handle"
	condSizeExceeded    amqp.Symbol = "amqp:link:message-size-exceeded"
	condLockLost        amqp.Symbol = "com.microsoft:message-lock-lost"
	condMessageNotFound amqp.Symbol = "com.microsoft:message-not-found"
	condArgument        amqp.Symbol = "com.microsoft:argument-error"
	condDeadLetter      amqp.Symbol = "com.microsoft:dead-letter"
	condTimeout         amqp.Symbol = "com.microsoft:timeout"
	condServerBusy      amqp.Symbol = "com.microsoft:server-busy"
)

// newError makes the error that goes over the wire.
func newError(condition amqp.Symbol, description string) *amqp.Error {
	return &amqp.Error{Condition: condition, Description: description}
}

// status is the code that goes with a condition in answers over $cbs and
// $management, which speak HTTP's.
func status(condition amqp.Symbol) int32 {
	switch condition {
	case condInvalidField, condArgument, condDecode:
		return 400
	case condUnauthorized:
		return 401
	case condResourceLimit:
		return 403
	case condNotFound, condMessageNotFound:
		return 404
	case condTimeout:
		return 408
	case condLockLost:
		return 410
	case condNotImplemented:
		return 501
	case condServerBusy:
		return 503
	}
	return 500
}
