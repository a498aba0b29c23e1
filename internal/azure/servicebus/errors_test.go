package servicebus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// status is what the SDK makes of a management node's answer.
type status int

func (s status) Error() string { return fmt.Sprint("status ", int(s)) }
func (s status) RPCCode() int  { return int(s) }

// noToken is what azidentity's errors have in common.
type noToken struct{ error }

func (noToken) NonRetriable() {}

func TestClassify(t *testing.T) {
	condition := func(c amqp.ErrCond) error { return &amqp.Error{Condition: c} }
	for name, c := range map[string]struct {
		err  error
		want meaning
	}{
		"too large for a batch":       {azservicebus.ErrMessageTooLarge, tooLarge},
		"cancelled":                   {context.Canceled, noAnswer},
		"timed out":                   {fmt.Errorf("x: %w", context.DeadlineExceeded), noAnswer},
		"cancelled, as go-amqp says":  {errors.New("context canceled"), noAnswer},
		"code: unauthorized":          {&azservicebus.Error{Code: azservicebus.CodeUnauthorizedAccess}, unauthorized},
		"code: connection lost":       {&azservicebus.Error{Code: azservicebus.CodeConnectionLost}, lost},
		"code: lock lost":             {fmt.Errorf("x: %w", &azservicebus.Error{Code: azservicebus.CodeLockLost}), leaseLost},
		"code: timeout":               {&azservicebus.Error{Code: azservicebus.CodeTimeout}, busy},
		"code: not found":             {&azservicebus.Error{Code: azservicebus.CodeNotFound}, noQueue},
		"code: closed":                {&azservicebus.Error{Code: azservicebus.CodeClosed}, lost},
		"code: of tomorrow":           {&azservicebus.Error{Code: "tomorrow"}, unknown},
		"condition: unauthorized":     {condition(amqp.ErrCondUnauthorizedAccess), unauthorized},
		"condition: no such queue":    {condition(amqp.ErrCondNotFound), noQueue},
		"condition: disabled":         {condition("com.microsoft:entity-disabled"), disabled},
		"condition: full":             {condition(amqp.ErrCondResourceLimitExceeded), full},
		"condition: size":             {condition(amqp.ErrCondMessageSizeExceeded), tooLarge},
		"condition: lock lost":        {condition("com.microsoft:message-lock-lost"), leaseLost},
		"condition: busy":             {condition("com.microsoft:server-busy"), busy},
		"condition: detached":         {&amqp.LinkError{RemoteErr: &amqp.Error{Condition: amqp.ErrCondDetachForced}}, lost},
		"condition: of tomorrow":      {condition("com.microsoft:tomorrow"), unknown},
		"link without a word":         {&amqp.LinkError{}, lost},
		"session without a word":      {&amqp.SessionError{}, lost},
		"connection without a word":   {&amqp.ConnError{}, lost},
		"end of file":                 {fmt.Errorf("read: %w", io.EOF), lost},
		"refused":                     {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errors.New("refused"))}, lost},
		"receiving link, no word":     {errBroke, lost},
		"no token":                    {noToken{errors.New("no identity")}, meaning{why: "the identity got no token", retryable: true, relink: true}},
		"management: busy":            {fmt.Errorf("x: %w", status(503)), busy},
		"management: lock lost":       {status(410), leaseLost},
		"management: forbidden":       {status(403), unauthorized},
		"management: of tomorrow":     {status(418), unknown},
		"anything else":               {errors.New("?"), unknown},
		"the SDK panicked":            {guarded(t.Context(), func(context.Context) (int, error) { panic("interface conversion") }).err, unknown},
		"a condition within a code":   {&azservicebus.Error{Code: azservicebus.CodeLockLost}, leaseLost},
		"a server that cuts the line": {&amqp.ConnError{RemoteErr: &amqp.Error{Condition: amqp.ErrCondConnectionForced}}, lost},
	} {
		t.Run(name, func(t *testing.T) {
			if got := classify(c.err); got != c.want {
				t.Errorf("%v means %+v, want %+v", c.err, got, c.want)
			}
		})
	}
}

// A fault unwraps to what lineage knows and to nothing else, repeats no
// secret, and steps back where the caller's context or Close is the reason.
func TestFault(t *testing.T) {
	c, err := Open(Options{ConnectionString: goodString, Queue: "q"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	err = c.fault(ctx, "send", fmt.Errorf("server says: %s?sig=%s", secretKey, "c2VjcmV0%2Bl%2F%3D"))
	if err == nil || strings.Contains(err.Error(), secretKey) || strings.Contains(err.Error(), "c2VjcmV0%2B") {
		t.Errorf("got %v", err)
	}
	if err := c.fault(ctx, "settle", &azservicebus.Error{Code: azservicebus.CodeLockLost}); !errors.Is(err, lineage.ErrLeaseLost) {
		t.Errorf("a lost lock is %v", err)
	}
	err = c.fault(ctx, "send", context.DeadlineExceeded)
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !errors.As(err, new(*fault)) {
		t.Errorf("a limit of our own is %v: it must not look like the caller's", err)
	}
	if again := c.fault(ctx, "more", err); again != err {
		t.Errorf("a fault became another: %v", again)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.fault(ended, "send", io.EOF); err != context.Canceled {
		t.Errorf("after the caller's cancel: %v", err)
	}
	closed, end := context.WithCancelCause(ctx)
	end(lineage.ErrClosed)
	if err := c.fault(closed, "send", io.EOF); err != lineage.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}
