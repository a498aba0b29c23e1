package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxAnswer bounds how much of an endpoint's answer is read.
const maxAnswer = 64 << 10

// send makes one delivery request. The status is 0 where no answer came.
func (s *subscriber) send(ctx context.Context, p *parcel) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(s.body(p)))
	if err != nil {
		return 0, hideURL(err)
	}
	s.setHeaders(req, p.letters[0].kind)
	req.Header.Set("aeg-delivery-count", strconv.Itoa(p.attempts))
	if len(p.letters) == 1 {
		req.Header.Set("aeg-output-event-id", p.letters[0].id)
	}
	status, _, err = s.do(req)
	if err == nil && (status < 200 || status > 204) {
		err = fmt.Errorf("the endpoint answered %d", status)
	}
	return status, err
}

// body is an array in the Event Grid schema; in CloudEvents, a single event
// is an object unless batching is on.
func (s *subscriber) body(p *parcel) []byte {
	if !s.asArray() {
		return p.letters[0].body
	}
	var b bytes.Buffer
	b.WriteByte('[')
	for i, l := range p.letters {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(l.body)
	}
	b.WriteByte(']')
	return b.Bytes()
}

func (s *subscriber) asArray() bool { return s.Schema == EventGrid || s.BatchEvents > 1 }

// setHeaders sets what Event Grid sends with every POST. The versions of data
// and metadata exist in its own schema only.
func (s *subscriber) setHeaders(req *http.Request, kind string) {
	for name, values := range s.Headers {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("aeg-event-type", kind)
	req.Header.Set("aeg-subscription-name", strings.ToUpper(s.Name))
	if s.Schema == EventGrid {
		req.Header.Set("aeg-data-version", "2")
		req.Header.Set("aeg-metadata-version", "1")
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
		return
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	if s.asArray() {
		req.Header.Set("Content-Type", "application/cloudevents-batch+json; charset=utf-8")
	}
}

// do performs a request and reads the answer, its beginning at least.
func (s *subscriber) do(req *http.Request) (status int, answer []byte, err error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, hideURL(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("read the endpoint's answer: %w", hideURL(err))
	}
	return resp.StatusCode, answer, nil
}

// hideURL drops the address from an error: it may hold a secret.
func hideURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
