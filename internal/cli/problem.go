package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// problemError is an answer other than success, as RFC 9457 writes it.
type problemError struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// Errors are what is wrong with which part of the request.
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`

	hint string
}

// Error is one sentence.
func (p *problemError) Error() string {
	text := strings.TrimRight(p.Detail, ". \n")
	if text == "" {
		text = p.Title
	}
	for i, e := range p.Errors {
		if i == 3 {
			text += fmt.Sprintf("; and %d more", len(p.Errors)-i)
			break
		}
		// The detail often is the first of them already.
		if e.Message != "" && !strings.Contains(text, e.Message) {
			text += "; " + strings.TrimSpace(e.Location+" "+e.Message)
		}
	}
	return fmt.Sprintf("%s (HTTP %d)%s", printable(clip(text, 1000)), p.Status, p.hint)
}

// explain turns an answer that is no success into an error.
func (c *client) explain(a *answer) error {
	p := &problemError{}
	if json.Unmarshal(a.body, p) != nil {
		p = &problemError{}
	}
	p.Status = a.status
	if p.Title == "" {
		p.Title = http.StatusText(a.status)
	}
	if p.Title == "" {
		p.Title = "the server refused"
	}
	switch {
	case a.status == http.StatusUnauthorized && c.token == "":
		p.hint = ": set MODELWARDEN_TOKEN, or name a file with --token-file"
	case a.status == http.StatusUnauthorized:
		p.hint = ": the token was not accepted"
	case a.status == http.StatusForbidden && c.token != "":
		p.hint = ": the token does not allow this"
	case a.status >= 300 && a.status < 400:
		p.hint = fmt.Sprintf(": %s points elsewhere; set --server to the final address", c.base)
	case !strings.Contains(a.header.Get("Content-Type"), "json"):
		p.hint = fmt.Sprintf(": is %s a Modelwarden server?", c.base)
	}
	return p
}

// unreachable explains a request that got no answer.
func (c *client) unreachable(parent context.Context, err error) error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case parent.Err() != nil:
		return parent.Err()
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s: is `modelwarden serve` running there? (--server or MODELWARDEN_SERVER names another)", c.base)
	case errors.As(err, &dns):
		return fmt.Errorf("the host of %s is not known: check --server or MODELWARDEN_SERVER", c.base)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer from %s within %s: --timeout allows more", c.base, c.timeout)
	}
	return fmt.Errorf("the request to %s failed: %w", c.base, trimURL(err))
}

// trimURL takes off the method and address that net/http puts first: the
// sentence names the server already.
func trimURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
