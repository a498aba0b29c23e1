package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// webhookOrigin is how Event Grid names itself in the CloudEvents handshake.
const webhookOrigin = "eventgrid.azure.net"

// handshake proves, before the first delivery, that the endpoint wants
// events. Azure gives up creating the subscription when it fails; the sandbox
// tries again on the retry schedule, until ctx ends.
func (s *subscriber) handshake(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		err := s.shakeHands(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Warn("sandbox handshake failed", zap.String("subscription", s.Name), zap.Int("attempt", attempt), zap.Error(err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.scaled(retryDelay(attempt, 0))):
		}
	}
}

func (s *subscriber) shakeHands(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if s.Schema == CloudEvents {
		return s.askPermission(ctx)
	}
	return s.validateEndpoint(ctx)
}

// validateEndpoint is the Event Grid schema's handshake: the endpoint returns
// the validation code it was sent, with status 200 and no other.
func (s *subscriber) validateEndpoint(ctx context.Context) error {
	s.mu.Lock()
	code, id := s.ids.uuid(), s.ids.uuid()
	s.mu.Unlock()
	o := occurrence{id: id, kind: typeValidation, time: time.Now().UTC(), data: []field{
		{"validationCode", code},
		{"validationUrl", "https://rp-westeurope.eventgrid.azure.net:553/eventsubscriptions/" + s.Name + "/validate?id=" + code},
	}}
	body := append(append([]byte("["), o.render(s.topic, EventGrid, Camel)...), ']')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return hideURL(err)
	}
	s.setHeaders(req, "SubscriptionValidation")
	req.Header.Set("aeg-delivery-count", "0")
	status, answer, err := s.do(req)
	if err != nil {
		return err
	}
	var got struct {
		ValidationResponse string `json:"validationResponse"`
	}
	if status != http.StatusOK || json.Unmarshal(answer, &got) != nil || got.ValidationResponse != code {
		return fmt.Errorf("validation: want 200 with the code as validationResponse, got %d", status)
	}
	return nil
}

// askPermission is the CloudEvents handshake (HTTP 1.1 Web Hooks, section 4).
func (s *subscriber) askPermission(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, s.URL, nil)
	if err != nil {
		return hideURL(err)
	}
	for name, values := range s.Headers {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("WebHook-Request-Origin", webhookOrigin)
	req.Header.Set("WebHook-Request-Rate", "120")
	resp, err := s.client.Do(req)
	if err != nil {
		return hideURL(err)
	}
	_ = resp.Body.Close() // the headers are the answer
	allowed := resp.Header.Get("WebHook-Allowed-Origin")
	switch {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("OPTIONS: want 200, got %d", resp.StatusCode)
	case allowed != "*" && allowed != webhookOrigin:
		return fmt.Errorf("OPTIONS: WebHook-Allowed-Origin is %q, want %q or *", allowed, webhookOrigin)
	case resp.Header.Get("WebHook-Allowed-Rate") == "":
		return errors.New("OPTIONS: WebHook-Allowed-Rate is missing")
	}
	return nil
}
