package cosmos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Options of a Store.
type Options struct {
	// Endpoint is the account's, as https://contoso.documents.azure.com.
	// Plain http is for a server on this machine only.
	Endpoint string
	// Key is the account's base64 key, for development. Exactly one of Key
	// and Credential must be given.
	Key string
	// Credential is the identity that asks. It needs the data-plane role
	// "Cosmos DB Built-in Data Contributor".
	Credential azcore.TokenCredential
	// Database is the database's name. Defaults to "modelwarden".
	Database string
	// Container is the container's name. Defaults to "records".
	Container string
	// Transport is for tests. Defaults to HTTP.
	Transport policy.Transporter
	// Charge, if not nil, hears what each answer of the service cost, in
	// request units, by operation: commit, get or list. It must be safe for
	// concurrent use.
	Charge func(operation string, requestUnits float64)
	// Logger hears about repeated and doubtful requests. Defaults to none.
	Logger *zap.Logger
}

// Store keeps records in one container of an Azure Cosmos DB for NoSQL
// account. It implements lineage.Store.
type Store struct {
	options Options
	conn    atomic.Pointer[conn]
	closed  atomic.Bool
}

var _ lineage.Store = (*Store)(nil)

// Open makes a Store. It does no I/O: Check finds out whether the account,
// the container and the rights are there.
func Open(o Options) (*Store, error) {
	if o.Database == "" {
		o.Database = "modelwarden"
	}
	if o.Container == "" {
		o.Container = "records"
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if err := checkEndpoint(o.Endpoint); err != nil {
		return nil, err
	}
	if (o.Key == "") == (o.Credential == nil) {
		return nil, errors.New("cosmos: give either a key or a credential")
	}
	s := &Store{options: o}
	c, err := newConn(&s.options)
	if err != nil {
		return nil, err
	}
	s.conn.Store(c)
	return s, nil
}

// checkEndpoint refuses to send keys and tokens in the clear. What it refuses
// it does not repeat, and it refuses all but the address itself: half of a
// connection string has the key behind it.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("cosmos: the endpoint is no plain address: want one like https://contoso.documents.azure.com, with the key given apart")
	}
	if u.Scheme == "https" {
		return nil
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return errors.New("cosmos: the endpoint is not https")
}

// Close ends the use of the Store: later calls answer lineage.ErrClosed.
func (s *Store) Close() error {
	if !s.closed.Swap(true) {
		s.conn.Load().client.Close()
	}
	return nil
}

// Healthy finds out whether the container answers, by one point read.
func (s *Store) Healthy(ctx context.Context) error {
	err := s.retry(ctx, opGet, func(ctx context.Context, c *conn) error {
		_, err := c.read(ctx, healthPartition, healthPartition)
		return err
	})
	if err != nil {
		return fmt.Errorf("read from %s: %w", s.where(), err)
	}
	return nil
}

// healthPartition is the partition, and the record, that Healthy reads. There
// need not be one.
const healthPartition = "health"

// where names the container for people.
func (s *Store) where() string {
	return "Cosmos DB container " + s.options.Database + "/" + s.options.Container + " at " + s.options.Endpoint
}
