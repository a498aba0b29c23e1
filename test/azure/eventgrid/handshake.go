package eventgrid

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// origin is what Event Grid names itself in the handshake of CloudEvents.
const origin = "eventgrid.azure.net"

// handshake asks the endpoint whether it wants events.
func (s *subscriber) handshake() error {
	if s.Schema == CloudEvents {
		return s.askOrigin()
	}
	return s.askCode()
}

// askCode is the synchronous handshake of "Endpoint validation with Event
// Grid event schema": the code comes back, with 200 exactly.
func (s *subscriber) askCode() error {
	code := newID()
	e := s.systemEvent("Microsoft.EventGrid.SubscriptionValidationEvent", map[string]string{
		"validationCode": code, "validationUrl": "https://rp-region-1.eventgrid.azure.net/eventsubscriptions/" + s.Name + "/validate?id=" + code,
	})
	e.Source, e.DataVersion = s.topic.o.ResourceID, "2"
	answer, body, err := s.request(http.MethodPost, s.headers("SubscriptionValidation", 0), s.body([]Event{e}, true))
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	var said struct{ ValidationResponse string }
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("handshake: the endpoint answered %s, not 200 OK", answer.Status)
	}
	if json.Unmarshal(body, &said) != nil || said.ValidationResponse != code {
		return errors.New("handshake: the endpoint did not answer with the validation code")
	}
	return nil
}

// askOrigin is the handshake of "HTTP 1.1 Web Hooks for Event Delivery":
// OPTIONS, which the endpoint answers by allowing the origin.
func (s *subscriber) askOrigin() error {
	h := http.Header{}
	h.Set("WebHook-Request-Origin", origin)
	h.Set("WebHook-Request-Rate", "120")
	answer, _, err := s.request(http.MethodOptions, h, nil)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("handshake: the endpoint answered %s", answer.Status)
	}
	if allowed := answer.Header.Get("WebHook-Allowed-Origin"); allowed != "*" && !strings.EqualFold(allowed, origin) {
		return fmt.Errorf("handshake: the endpoint allows the origin %q, not %s", allowed, origin)
	}
	return nil
}

// farewell tells the endpoint that its subscription is gone.
func (s *subscriber) farewell() {
	e := s.systemEvent("Microsoft.EventGrid.SubscriptionDeletedEvent", map[string]string{
		"eventSubscriptionId": s.topic.o.ResourceID + "/providers/Microsoft.EventGrid/eventSubscriptions/" + s.Name,
	})
	e.Source, e.DataVersion = s.topic.o.ResourceID, "1"
	// Nobody repeats a farewell that failed.
	_, _, _ = s.request(http.MethodPost, s.headers("SubscriptionDeletion", 0), s.body([]Event{e}, s.Schema == EventGrid))
}

func (s *subscriber) systemEvent(kind string, data map[string]string) Event {
	return Event{ID: newID(), Type: kind, Subject: "", Time: s.topic.o.Clock.Now(), Data: encode(data)}
}

// request makes one request to the webhook, with its token and delivery
// properties, and reads the answer.
func (s *subscriber) request(method string, header http.Header, body []byte) (*http.Response, []byte, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := s.topic.o.Clock.AfterFunc(s.Timeout, cancel)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, method, s.URL, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header = header
	for name, values := range s.Headers {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if s.Token != nil {
		token, err := s.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := s.topic.o.Client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return answer, text, err
}

// newID is a random UUID of version 4.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
