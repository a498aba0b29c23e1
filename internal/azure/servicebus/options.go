package servicebus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/zap"
)

// Options say where the queue is and how to work on it. Either Namespace with
// Credential or ConnectionString is required, and Queue.
type Options struct {
	// Namespace is the host of the namespace, as
	// contoso.servicebus.windows.net.
	Namespace string
	// Credential needs the roles Azure Service Bus Data Sender and Azure
	// Service Bus Data Receiver on the queue.
	Credential azcore.TokenCredential
	// ConnectionString is for development. With UseDevelopmentEmulator=true it
	// is refused unless its host is this machine, because the SDK then does
	// without TLS whatever the host.
	ConnectionString string
	// Queue must exist and must not require sessions. Defaults to the
	// connection string's EntityPath.
	Queue string
	// MaxDeliveries is how often a message is handed out before it is a dead
	// letter, delayed retries included. The queue's own limit should not be
	// lower. Defaults to 10.
	MaxDeliveries int
	// Receivers is how many links receive side by side. Defaults to 4, at
	// most 64.
	Receivers int
	// Prefetch is how many messages a link may fetch ahead of demand, at most
	// 1,000. Their locks run from then on. Defaults to 0.
	Prefetch int
	// Shrink trims a body that does not fit, compressed as it may be, to at
	// most limit bytes; false when it can't. Defaults to none: such a message
	// is lineage.ErrTooLarge.
	Shrink func(body []byte, limit int) (smaller []byte, ok bool)

	// Dial opens the connection in tests. Defaults to AMQP over TLS.
	Dial func(ctx context.Context) (net.Conn, error)
	// Admin carries requests of the management client in tests. Defaults to
	// HTTPS.
	Admin policy.Transporter

	// Logger defaults to none.
	Logger *zap.Logger
	// Now defaults to time.Now.
	Now func() time.Time
}

// Bounds of Options.
const (
	maxReceivers = 64
	maxPrefetch  = 1000
)

// complete checks the options and fills in defaults.
func (o Options) complete() (Options, connection, error) {
	var at connection
	var err error
	switch {
	case o.ConnectionString != "" && (o.Namespace != "" || o.Credential != nil):
		err = errors.New("a connection string and a namespace with a credential exclude each other")
	case o.ConnectionString != "":
		at, err = parseConnectionString(o.ConnectionString)
	default:
		at, err = o.namespace()
	}
	if err == nil {
		err = o.nameQueue(at)
	}
	if err != nil {
		return o, at, fmt.Errorf("service bus: %w", err)
	}
	o.MaxDeliveries = bounded(o.MaxDeliveries, 10, 2000)
	o.Receivers = bounded(o.Receivers, 4, maxReceivers)
	o.Prefetch = bounded(o.Prefetch, 0, maxPrefetch)
	if o.Dial == nil {
		o.Dial = dialer(at)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, at, nil
}

func (o *Options) namespace() (connection, error) {
	switch {
	case o.Namespace == "":
		return connection{}, errors.New("a namespace is required, as contoso.servicebus.windows.net")
	case strings.ContainsAny(o.Namespace, "/:;= "):
		return connection{}, errors.New("the namespace is no host name; want one as contoso.servicebus.windows.net")
	case o.Credential == nil:
		return connection{}, errors.New("a namespace needs a credential")
	}
	return connection{host: o.Namespace}, nil
}

func (o *Options) nameQueue(at connection) error {
	switch {
	case o.Queue == "" && at.queue == "":
		return errors.New("the name of a queue is required")
	case o.Queue == "":
		o.Queue = at.queue
	case at.queue != "" && !strings.EqualFold(at.queue, o.Queue):
		return fmt.Errorf("the connection string is for the queue %q, not for %q", at.queue, o.Queue)
	}
	return nil
}

func bounded(v, byDefault, highest int) int {
	if v <= 0 {
		v = byDefault
	}
	return min(v, highest)
}
