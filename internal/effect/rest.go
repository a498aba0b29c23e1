package effect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// keyInput is the input in which a run that we start carries the action's key,
// so that it can be found again.
const keyInput = "modelwarden_key"

// maxListing bounds one page of a listing, in bytes: services repeat a whole
// repository with every run.
const maxListing = 8 << 20

// maxListingPages bounds how far a key is looked for.
const maxListingPages = 10

// listingSkew is how much earlier than an action was decided a listing begins:
// clocks differ.
const listingSkew = 10 * time.Minute

// listingDelay is how long a run may take to show in listings. What may have
// been started is not looked for sooner.
const listingDelay = 30 * time.Second

// rest calls a JSON API with a token. A Content-Type in header stands for the
// usual one.
type rest struct {
	base      *url.URL
	header    http.Header
	client    *http.Client
	userAgent string
	hide      redactor
}

// send makes one request. body may be nil. path is escaped already. Errors are
// sorted into retryable and permanent; an answer of any status is none.
func (r *rest) send(ctx context.Context, method, path string, query url.Values, body any) (*answer, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, &policy.PermanentError{Err: fmt.Errorf("the request can't be written as JSON: %w", err)}
		}
	}
	u := r.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(content))
	if err != nil {
		return nil, &policy.PermanentError{Err: errors.New(r.hide.text(err.Error()))}
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", r.userAgent)
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return exchange(r.client, req, maxListing, r.hide)
}

// read takes JSON out of a successful answer.
func (r *rest) read(ans *answer, into any) error {
	if err := json.Unmarshal(ans.body, into); err != nil {
		return fmt.Errorf("%s answered %d with something that can't be read: %s", place(r.base), ans.status, r.hide.text(err.Error()))
	}
	return nil
}

// uncertain marks the failure of a request that may have started a run: the
// next attempt has to come late enough to find it.
func uncertain(err error) error {
	var permanent *policy.PermanentError
	var asked *policy.RetryAfterError
	if err == nil || errors.As(err, &permanent) || errors.As(err, &asked) && asked.After >= listingDelay {
		return err
	}
	return &policy.RetryAfterError{Err: err, After: listingDelay}
}

// hint adds to an error what to check.
func hint(err error, sentence string) error {
	if sentence == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, sentence)
}

// tooManyRuns is the refusal to start a run that may have been started before.
func tooManyRuns(where string) error {
	return &policy.PermanentError{Err: fmt.Errorf("%s had so many runs since this was decided that it can't be told whether one of them is this one: look for the key, then retry by hand", where)}
}
