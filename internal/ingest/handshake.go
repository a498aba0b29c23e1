package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/event"
)

const typeSubscriptionValidation = "Microsoft.EventGrid.SubscriptionValidationEvent"

// validationCode finds the code of an Event Grid subscription handshake
// (https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema).
// It arrives alone; anything else is an ordinary batch.
func validationCode(d delivery, items []event.Item) (string, bool) {
	if len(items) != 1 || items[0].Problem != nil {
		return "", false
	}
	if d != deliveryValidation && (d != deliveryNone || !strings.EqualFold(items[0].Envelope.Type, typeSubscriptionValidation)) {
		return "", false
	}
	var data struct {
		ValidationCode string `json:"validationCode"`
	}
	if json.Unmarshal(items[0].Envelope.Data, &data) != nil || len(data.ValidationCode) > maxHeaderValue {
		return "", false
	}
	return data.ValidationCode, data.ValidationCode != ""
}

// validate answers the Event Grid handshake: 200 exactly, 202 would not do.
func (rt *route) validate(w http.ResponseWriter, code string) outcome {
	answer, err := json.Marshal(map[string]string{"validationResponse": code})
	if err != nil { // a string: there is nothing to fail on
		answer = []byte("{}")
	}
	rt.s.log.Info("answered a subscription's validation handshake", zap.String("source", rt.via))
	writeJSON(w, answer)
	return outcomeHandshake
}

// agree answers the handshake of CloudEvents webhooks (HTTP 1.1 Web Hooks for
// Event Delivery, section 4): an OPTIONS request that names its origin.
func (rt *route) agree(w http.ResponseWriter, r *http.Request) outcome {
	origin := r.Header.Get("Webhook-Request-Origin")
	if origin == "" {
		return rt.turnAway(w, refuse(http.StatusBadRequest, outcomeOrigin,
			"OPTIONS is the CloudEvents webhook handshake and needs a WebHook-Request-Origin header."))
	}
	if !rt.s.allowsOrigin(origin) {
		return rt.turnAway(w, refuse(http.StatusForbidden, outcomeOrigin,
			"This WebHook-Request-Origin is not one that the configuration allows."))
	}
	h := w.Header()
	h.Set("Allow", http.MethodPost)
	h.Set("Webhook-Allowed-Origin", origin)
	h.Set("Webhook-Allowed-Rate", rt.s.allowedRate())
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	rt.s.log.Info("agreed to a CloudEvents webhook handshake", zap.String("origin", clean(origin, maxHeaderValue)))
	rt.s.callBack(r.Context(), w, r.Header.Get("Webhook-Request-Callback"))
	return outcomeHandshake
}

func (s *Subscriber) allowsOrigin(origin string) bool {
	for _, allowed := range s.options.AllowedOrigins {
		if allowed == "*" || strings.EqualFold(allowed, origin) {
			return true
		}
	}
	return false
}

func (s *Subscriber) allowedRate() string {
	if s.options.AllowedRate == 0 {
		return "*"
	}
	return strconv.Itoa(s.options.AllowedRate)
}

// callbackDomain is where Event Grid's callback addresses are.
const callbackDomain = ".eventgrid.azure.net"

// callBack grants permission the second way the handshake knows: a GET to an
// address that the sender names. It runs after the answer is on the wire, in
// the request's own goroutine, so it is bounded by what bounds requests.
func (s *Subscriber) callBack(ctx context.Context, w http.ResponseWriter, address string) {
	if address == "" || !s.options.AllowCallback {
		return
	}
	target, err := callbackURL(address)
	if err != nil {
		s.log.Warn("ignored a handshake callback", zap.Error(err))
		return
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		s.log.Warn("answer to a handshake could not be flushed; no callback made", zap.Error(err))
		return
	}
	status, err := s.get(ctx, target)
	s.log.Info("called a handshake's callback", zap.String("host", target.Host), zap.Int("status", status), zap.Error(err))
}

// callbackURL accepts an https address below callbackDomain. Its errors don't
// repeat the address: its query holds a token.
func callbackURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("the callback address is not a URL")
	case u.Scheme != "https":
		return nil, errors.New("the callback address is not https")
	case u.User != nil:
		return nil, errors.New("the callback address carries credentials")
	case !strings.HasSuffix(strings.ToLower(u.Hostname()), callbackDomain):
		return nil, errors.New("the callback's host is not below eventgrid.azure.net")
	}
	return u, nil
}

// newCallbackClient follows no redirects: they could lead anywhere.
func newCallbackClient() *http.Client {
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *Subscriber) get(ctx context.Context, u *url.URL) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, errors.New("the callback address can't be requested")
	}
	resp, err := s.callback.Do(req)
	if err != nil {
		var where *url.Error
		if errors.As(err, &where) { // drops the address
			err = where.Err
		}
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection closes cleanly
	return resp.StatusCode, nil
}
