package ml

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// listing is one page of a collection as ARM answers it.
type listing[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink"`
}

// page fetches the page of a listing that a cursor names. The cursor is ARM's
// link to that page: pagers of the SDK take one up from there (Pager
// implements json.Unmarshaler for it).
func page[T, R any](ctx context.Context, c *Client, pager *runtime.Pager[R], cursor string) (listing[T], error) {
	var out listing[T]
	if cursor != "" {
		if err := c.ours(cursor); err != nil {
			return out, err
		}
		at, err := json.Marshal(map[string]string{"nextLink": cursor})
		if err != nil {
			return out, err
		}
		if err := pager.UnmarshalJSON(at); err != nil {
			return out, notUnderstood(fmt.Errorf("the cursor is not one of this listing: %w", err))
		}
		if _, err := pager.NextPage(ctx); err != nil { // what was taken up, without a request
			return out, err
		}
	}
	body, _, err := read(ctx, func(ctx context.Context) error {
		_, err := pager.NextPage(ctx)
		return err
	})
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return out, fmt.Errorf("a page of the listing: %w", err)
	}
	return out, nil
}

// ours refuses a cursor that leads anywhere but to ARM: the token goes with
// the request.
func (c *Client) ours(cursor string) error {
	link, err := url.Parse(cursor)
	base, _ := url.Parse(c.o.Endpoint) // New has parsed it before
	if err != nil || link.Scheme != base.Scheme || !strings.EqualFold(link.Host, base.Host) {
		return notUnderstood(fmt.Errorf("the cursor is not a link of %s", c.o.Endpoint))
	}
	return nil
}
