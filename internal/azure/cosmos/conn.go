package cosmos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Operations that Options.Charge hears of.
const (
	opCommit = "commit"
	opGet    = "get"
	opList   = "list"
)

// conn is an SDK client with our pipeline policy. The SDK asks for the
// account's regions before its first request and, when that fails, answers
// every request with the same error for five minutes. So a conn whose first
// request failed is replaced by a new one.
type conn struct {
	client    *azcosmos.Client
	database  *azcosmos.DatabaseClient
	container *azcosmos.ContainerClient
	charge    func(string, float64)
	account   atomic.Pointer[account]
}

// account is what the service tells of itself.
type account struct {
	Consistency struct {
		Default string `json:"defaultConsistencyLevel"`
	} `json:"userConsistencyPolicy"`
}

func newConn(o *Options) (*conn, error) {
	c := &conn{charge: o.Charge}
	options := &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: o.Transport,
		// Repeating is ours: it has to know what may have taken effect.
		Retry:            policy.RetryOptions{MaxRetries: -1},
		PerRetryPolicies: []policy.Policy{c},
		Telemetry:        policy.TelemetryOptions{ApplicationID: "modelwarden"},
	}}
	var err error
	if c.client, err = dial(o, options); err != nil {
		return nil, err
	}
	if c.database, err = c.client.NewDatabase(o.Database); err != nil {
		return nil, err
	}
	c.container, err = c.database.NewContainer(o.Container)
	return c, err
}

func dial(o *Options, options *azcosmos.ClientOptions) (*azcosmos.Client, error) {
	if o.Credential != nil {
		return azcosmos.NewClient(o.Endpoint, o.Credential, options)
	}
	key, err := azcosmos.NewKeyCredential(o.Key)
	if err != nil {
		return nil, errors.New("cosmos: the key is not base64")
	}
	return azcosmos.NewClientWithKey(o.Endpoint, key, options)
}

// operation is the context key of a request's operation.
type operation struct{}

// Do implements policy.Policy: it counts what each answer cost, failed ones
// and those that the SDK repeats included, and keeps the account's
// properties when the SDK asks for them, which it does not show.
func (c *conn) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	if err != nil || resp == nil {
		return resp, err
	}
	op, _ := req.Raw().Context().Value(operation{}).(string)
	if units, err := strconv.ParseFloat(resp.Header.Get("x-ms-request-charge"), 64); err == nil && op != "" && c.charge != nil {
		c.charge(op, units)
	}
	if resp.StatusCode == http.StatusOK && strings.Trim(req.Raw().URL.Path, "/") == "" {
		c.learn(resp)
	}
	return resp, nil
}

// learn keeps the account's properties. What can't be read the SDK complains
// about itself.
func (c *conn) learn(resp *http.Response) {
	body, err := runtime.Payload(resp)
	if err != nil {
		return
	}
	var a account
	if json.Unmarshal(body, &a) == nil {
		c.account.Store(&a)
	}
}

// renew replaces a conn that never learned of its account.
func (s *Store) renew(c *conn) error {
	if c.account.Load() != nil || s.conn.Load() != c {
		return nil
	}
	fresh, err := newConn(&s.options)
	if err != nil {
		return err
	}
	if s.conn.CompareAndSwap(c, fresh) {
		c.client.Close()
		return nil
	}
	fresh.client.Close()
	return nil
}

// read is a point read: nil when there is no such item.
func (c *conn) read(ctx context.Context, pk, id string) ([]byte, error) {
	resp, err := c.container.ReadItem(ctx, azcosmos.NewPartitionKeyString(pk), id, nil)
	if isAbsent(err) {
		return nil, nil
	}
	return resp.Value, err
}

// query reads pages until enough says so or there are no more; each page's
// items are handed to it. more says whether pages are left.
func (c *conn) query(ctx context.Context, pk string, q *query, page func(items [][]byte) (enough bool, err error)) (more bool, err error) {
	pager := c.container.NewQueryItemsPager(q.text.String(), azcosmos.NewPartitionKeyString(pk), &azcosmos.QueryOptions{
		QueryParameters: q.parameters, PageSizeHint: int32(q.pageSize),
	})
	for pager.More() {
		got, err := pager.NextPage(ctx)
		if err != nil {
			return false, err
		}
		if enough, err := page(got.Items); enough || err != nil {
			return pager.More(), err
		}
	}
	return false, nil
}

// query is a parameterised query in the making.
type query struct {
	text       strings.Builder
	parameters []azcosmos.QueryParameter
	pageSize   int // -1 leaves it to the service
}

// bind adds a parameter and returns its name.
func (q *query) bind(value string) string {
	name := fmt.Sprintf("@p%d", len(q.parameters))
	q.parameters = append(q.parameters, azcosmos.QueryParameter{Name: name, Value: value})
	return name
}

// selectIDs asks for columns of the items of the given ids.
func selectIDs(columns string, ids []string) *query {
	q := &query{pageSize: -1}
	q.text.WriteString("SELECT " + columns + " FROM c WHERE c.id IN (")
	for i, id := range ids {
		if i > 0 {
			q.text.WriteString(", ")
		}
		q.text.WriteString(q.bind(id))
	}
	q.text.WriteString(")")
	return q
}
