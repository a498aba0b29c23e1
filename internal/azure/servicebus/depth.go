package servicebus

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// How long an answer of the management API serves, and for how long it is not
// asked again after it did not answer: it is throttled, and needs Manage
// rights that the service can do without.
const (
	depthServes = 15 * time.Second
	depthPause  = time.Minute
	adminLimit  = 5 * time.Second
)

var unknownDepth = lineage.Depth{Ready: -1, Leased: -1, Delayed: -1, Dead: -1}

// administer makes the management client; none for the emulator, which has no
// management API over HTTPS.
func (o Options) administer(emulator bool) (*admin.Client, error) {
	options := &admin.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: o.Admin,
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}}
	switch {
	case o.ConnectionString == "":
		return admin.NewClient(o.Namespace, o.Credential, options)
	case emulator && o.Admin == nil:
		return nil, nil
	}
	return admin.NewClientFromConnectionString(o.ConnectionString, options)
}

// depth remembers the last answer.
type depth struct {
	turn turns // for who looks or asks
	last lineage.Depth
	ends time.Time // when it is asked again
}

// Depth implements lineage.Queue. It asks the management API, which counts
// locked messages as active ones ("Message counters", Microsoft Learn); those
// that this process holds are taken off, Leased stays unknown. An answer
// serves for 15 s.
func (q queue) Depth(ctx context.Context) (lineage.Depth, error) {
	ctx, leave, err := q.c.enter(ctx)
	if err != nil {
		return lineage.Depth{}, err
	}
	defer leave()
	d := &q.c.depth
	if d.turn.take(ctx) != nil {
		return lineage.Depth{}, q.c.ended(ctx)
	}
	defer d.turn.give()
	if now := q.c.o.Now(); !now.Before(d.ends) {
		answer, ok := q.c.askDepth(ctx)
		if err := q.c.ended(ctx); err != nil {
			return lineage.Depth{}, err
		}
		d.last, d.ends = answer, now.Add(depthPause)
		if ok {
			d.ends = now.Add(depthServes)
		}
	}
	return d.last, nil
}

func (c *Client) askDepth(ctx context.Context) (_ lineage.Depth, ok bool) {
	if c.admin == nil {
		return unknownDepth, false
	}
	ctx, cancel := context.WithTimeout(ctx, adminLimit)
	defer cancel()
	got, err := await(ctx, c, func(ctx context.Context) (*admin.GetQueueRuntimePropertiesResponse, error) {
		return c.admin.GetQueueRuntimeProperties(ctx, c.o.Queue, nil)
	}, nil)
	if err != nil || got == nil { // nil: there is no such queue
		return unknownDepth, false
	}
	return lineage.Depth{
		Ready:   max(0, int64(got.ActiveMessageCount)-int64(c.leases.count())),
		Leased:  -1,
		Delayed: int64(got.ScheduledMessageCount),
		Dead:    int64(got.DeadLetterMessageCount),
	}, true
}
