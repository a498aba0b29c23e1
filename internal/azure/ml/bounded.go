package ml

import (
	"errors"
	"io"
	"net/http"
)

// maxBody bounds an answer: the SDK reads each into memory.
const maxBody = 16 << 20

var errTooLong = errors.New("the answer is longer than 16 MiB")

// boundedBodies is a transport whose answers end at maxBody, with an error.
type boundedBodies struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b boundedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = &boundedBody{ReadCloser: answer.Body, left: maxBody}
	}
	return answer, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
