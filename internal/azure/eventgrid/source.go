package eventgrid

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/aznamespaces"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// SourceOptions say which event subscription to pull from, and as whom.
type SourceOptions struct {
	// Endpoint is the namespace, as
	// https://contoso.westeurope-1.eventgrid.azure.net.
	Endpoint string
	// Topic and Subscription must exist; the subscription's delivery mode
	// must be queue.
	Topic, Subscription string
	// Key is an access key of the namespace. Prefer Credential, whose
	// identity needs the role EventGrid Data Receiver. Give one of the two.
	Key        string
	Credential azcore.TokenCredential
	// Transport is for tests. Defaults to HTTP.
	Transport policy.Transporter
}

// Source is an event subscription of a namespace with pull delivery. It is
// safe for concurrent use and holds nothing to close.
type Source struct {
	access
	client *aznamespaces.ReceiverClient
}

// NewSource checks the options. It asks nobody yet; see Check.
func NewSource(o SourceOptions) (*Source, error) {
	s := &Source{access: access{
		endpoint: o.Endpoint, key: o.Key, credential: o.Credential, transport: o.Transport, role: "EventGrid Data Receiver",
	}}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("event grid namespace: %w", err)
	}
	if o.Topic == "" || o.Subscription == "" {
		return nil, errors.New("event grid namespace: topic and subscription must be given")
	}
	options := &aznamespaces.ReceiverClientOptions{ClientOptions: s.access.client()}
	var err error
	if o.Key != "" {
		s.client, err = aznamespaces.NewReceiverClientWithSharedKeyCredential(o.Endpoint, o.Topic, o.Subscription, s.keyCredential(), options)
	} else {
		s.client, err = aznamespaces.NewReceiverClient(o.Endpoint, o.Topic, o.Subscription, o.Credential, options)
	}
	if err != nil {
		return nil, fmt.Errorf("event grid namespace: %s", s.hide(err.Error()))
	}
	return s, nil
}

// Receive waits until there is an event, at most wait (10 to 120 s, in whole
// seconds), and returns up to max (1 to 100) of them, or none when the wait is
// over. Body is the event as it was published, whatever that is; Lease its
// lock token, Attempt its delivery count. LeasedUntil is unknown, so zero: the
// lock lasts as long as the subscription says, 60 to 300 s ("Azure Event Grid
// namespace - Data Plane REST", Receive Cloud Events).
func (s *Source) Receive(ctx context.Context, max int, wait time.Duration) ([]lineage.Delivery, error) {
	var answer *http.Response
	n, seconds := int32(max), int32(wait/time.Second)
	_, err := s.client.ReceiveEvents(policy.WithCaptureResponse(ctx, &answer),
		&aznamespaces.ReceiveEventsOptions{MaxEvents: &n, MaxWaitTime: &seconds})
	if answer == nil || answer.StatusCode != http.StatusOK {
		return nil, s.fault("receive", err)
	}
	// From here on an error of the SDK's means that it could not read the
	// page. Some of it, mostly all, can be read.
	body, readErr := runtime.Payload(answer)
	if readErr != nil {
		return nil, s.fault("receive", readErr)
	}
	page, splitErr := split(body)
	if len(page) == 0 {
		return nil, s.fault("receive", cmp.Or(err, splitErr))
	}
	return page, nil
}

// Acknowledge ends events for good. It returns nil, or a *lineage.SettleError
// that names those for which it failed, with ErrLeaseLost where the lock was
// lost.
func (s *Source) Acknowledge(ctx context.Context, leases []lineage.Lease) error {
	return s.settle(ctx, "acknowledge", leases, func(tokens []string) ([]string, []aznamespaces.FailedLockToken, error) {
		r, err := s.client.AcknowledgeEvents(ctx, tokens, nil)
		return r.SucceededLockTokens, r.FailedLockTokens, err
	})
}

// Release gives events back, to be delivered again after at least the given
// time, up to one hour: Event Grid knows the delays 0, 10 s, 1 min, 10 min and
// 1 h. Errors are those of Acknowledge.
func (s *Source) Release(ctx context.Context, leases []lineage.Lease, after time.Duration) error {
	delay := releaseDelay(after)
	return s.settle(ctx, "release", leases, func(tokens []string) ([]string, []aznamespaces.FailedLockToken, error) {
		r, err := s.client.ReleaseEvents(ctx, tokens, &aznamespaces.ReleaseEventsOptions{ReleaseDelayInSeconds: &delay})
		return r.SucceededLockTokens, r.FailedLockTokens, err
	})
}

func releaseDelay(after time.Duration) aznamespaces.ReleaseDelay {
	switch {
	case after <= 0:
		return aznamespaces.ReleaseDelayNoDelay
	case after <= 10*time.Second:
		return aznamespaces.ReleaseDelayTenSeconds
	case after <= time.Minute:
		return aznamespaces.ReleaseDelayOneMinute
	case after <= 10*time.Minute:
		return aznamespaces.ReleaseDelayTenMinutes
	}
	return aznamespaces.ReleaseDelayOneHour
}

// Extend renews locks to their full duration from now. Errors are those of
// Acknowledge.
func (s *Source) Extend(ctx context.Context, leases []lineage.Lease) error {
	return s.settle(ctx, "renew locks", leases, func(tokens []string) ([]string, []aznamespaces.FailedLockToken, error) {
		r, err := s.client.RenewEventLocks(ctx, tokens, nil)
		return r.SucceededLockTokens, r.FailedLockTokens, err
	})
}

// settle makes a call about locks and reads its answer: Event Grid answers
// 200, and the SDK no error, even when every lock was lost.
func (s *Source) settle(ctx context.Context, doing string, leases []lineage.Lease,
	call func(tokens []string) ([]string, []aznamespaces.FailedLockToken, error)) error {
	if len(leases) == 0 {
		return ctx.Err()
	}
	tokens := make([]string, len(leases))
	for i, l := range leases {
		tokens[i] = string(l)
	}
	succeeded, failed, err := call(tokens)
	if err != nil {
		return s.fault(doing, err)
	}
	result := &lineage.SettleError{Failed: map[int]error{}}
	for i, token := range tokens {
		if !slices.Contains(succeeded, token) {
			result.Failed[i] = s.whyFailed(token, failed)
		}
	}
	if len(result.Failed) == 0 {
		return nil
	}
	return result
}

// whyFailed reads the error about one lock token. A token that the answer
// leaves out counts as failed.
func (s *Source) whyFailed(token string, failed []aznamespaces.FailedLockToken) error {
	for _, f := range failed {
		if f.LockToken == nil || *f.LockToken != token || f.Error == nil || f.Error.Code == nil {
			continue
		}
		switch code := *f.Error.Code; code {
		case "TokenLost", "BadToken":
			return lineage.ErrLeaseLost
		default:
			return fmt.Errorf("event grid: %s: %s", s.hide(code), s.hide(f.Error.Error()))
		}
	}
	return errors.New("event grid says nothing about this lock")
}

// Check finds out whether events could be pulled, without pulling one: it
// acknowledges a lock that does not exist, which only those may try who may
// receive. The error says what is missing, by the role's name if it is one.
func (s *Source) Check(ctx context.Context) error {
	_, err := s.client.AcknowledgeEvents(ctx, []string{"modelwarden-check"}, nil)
	return s.reached("check", err)
}
