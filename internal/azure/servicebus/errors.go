package servicebus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// meaning is what an error of the SDK, of AMQP or of the network says to us.
type meaning struct {
	kind      error  // of package lineage; nil for a plain fault
	why       string // for people
	retryable bool   // the same call may succeed later
	relink    bool   // link or connection are of no use any more
}

// What goes wrong.
var (
	leaseLost    = meaning{kind: lineage.ErrLeaseLost, why: "the lock is lost"}
	tooLarge     = meaning{kind: lineage.ErrTooLarge, why: "the message is too large"}
	unauthorized = meaning{why: "access denied", relink: true}
	noQueue      = meaning{why: "the queue does not exist", relink: true}
	disabled     = meaning{why: "the queue does not allow it", relink: true}
	full         = meaning{why: "the queue is full", retryable: true}
	busy         = meaning{why: "the broker is busy", retryable: true}
	noAnswer     = meaning{why: "no answer in time", retryable: true, relink: true}
	lost         = meaning{why: "the connection was lost", retryable: true, relink: true}
	unknown      = meaning{why: "unknown error", retryable: true, relink: true}
)

// byCode are the SDK's own codes. Its errors do not unwrap.
var byCode = map[azservicebus.Code]meaning{
	azservicebus.CodeUnauthorizedAccess: unauthorized,
	azservicebus.CodeConnectionLost:     lost,
	azservicebus.CodeLockLost:           leaseLost,
	azservicebus.CodeTimeout:            busy,
	azservicebus.CodeNotFound:           noQueue,
	azservicebus.CodeClosed:             lost,
}

// byCondition are the AMQP error conditions that the SDK hands out raw ("AMQP
// errors in Azure Service Bus", Microsoft Learn).
var byCondition = map[amqp.ErrCond]meaning{
	amqp.ErrCondUnauthorizedAccess:      unauthorized,
	amqp.ErrCondNotFound:                noQueue,
	amqp.ErrCondNotAllowed:              disabled,
	"com.microsoft:entity-disabled":     disabled,
	amqp.ErrCondResourceLimitExceeded:   full,
	amqp.ErrCondMessageSizeExceeded:     tooLarge,
	"com.microsoft:message-lock-lost":   leaseLost,
	"com.microsoft:server-busy":         busy,
	"com.microsoft:timeout":             busy,
	"com.microsoft:operation-cancelled": busy,
	amqp.ErrCondTransferLimitExceeded:   lost,
	amqp.ErrCondDetachForced:            lost,
	amqp.ErrCondConnectionForced:        lost,
	amqp.ErrCondInternalError:           lost,
}

// byStatus are the answers of a management or token node, which the SDK hands
// out raw.
var byStatus = map[int]meaning{
	http.StatusUnauthorized:        unauthorized,
	http.StatusForbidden:           unauthorized,
	http.StatusNotFound:            noQueue,
	http.StatusGone:                leaseLost,
	http.StatusRequestTimeout:      busy,
	http.StatusTooManyRequests:     busy,
	http.StatusInternalServerError: busy,
	http.StatusServiceUnavailable:  busy,
}

// classify says what an error means. It is the only place that looks into
// errors of the SDK. A context's end counts as a call without an answer: whose
// context it was, the caller has asked before.
func classify(err error) meaning {
	var (
		coded      *azservicebus.Error
		condition  *amqp.Error
		link       *amqp.LinkError
		session    *amqp.SessionError
		connection *amqp.ConnError
		network    net.Error
		identity   interface{ NonRetriable() }
		request    interface{ RPCCode() int }
	)
	switch {
	case errors.Is(err, azservicebus.ErrMessageTooLarge):
		return tooLarge
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), err.Error() == context.Canceled.Error():
		return noAnswer
	case errors.As(err, &coded):
		return known(byCode, coded.Code)
	case errors.As(err, &condition):
		return known(byCondition, condition.Condition)
	case errors.As(err, &request):
		return known(byStatus, request.RPCCode())
	case errors.As(err, &identity):
		return meaning{why: "the identity got no token", retryable: true, relink: true}
	case errors.As(err, &link), errors.As(err, &session), errors.As(err, &connection), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, errBroke):
		return lost
	}
	return unknown
}

func known[K comparable](meanings map[K]meaning, key K) meaning {
	if m, ok := meanings[key]; ok {
		return m
	}
	return unknown
}

// fault is what callers get. It keeps no error of the SDK, only its text
// without secrets.
type fault struct {
	meaning
	text string
}

// Error implements error.
func (f *fault) Error() string { return f.text }

// Unwrap gives the error of package lineage that the fault is, if any.
func (f *fault) Unwrap() error { return f.kind }

// fault makes an error of the SDK ours: the end of ctx or of the client where
// that is the reason, what it means otherwise.
func (c *Client) fault(ctx context.Context, doing string, err error) error {
	if err == nil {
		c.health.reached(c.o.Now())
		return nil
	}
	if ended := c.ended(ctx); ended != nil {
		return ended
	}
	var known *fault
	if errors.As(err, &known) {
		return err
	}
	m := classify(err)
	f := &fault{m, fmt.Sprintf("service bus: %s: %s: %s", doing, m.why, c.secrets.Replace(err.Error()))}
	if m.relink {
		c.health.failed()
		c.o.Logger.Debug("service bus fault", zap.String("doing", doing), zap.String("error", f.text))
	} else {
		c.health.reached(c.o.Now())
	}
	return f
}

// ended is why a call's context ended, nil while it has not.
func (c *Client) ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if context.Cause(ctx) == lineage.ErrClosed {
		return lineage.ErrClosed
	}
	return ctx.Err()
}
