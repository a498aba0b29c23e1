package effect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// WebhookOptions configure a Webhook.
type WebhookOptions struct {
	// URL is where to post; http or https.
	URL string
	// Secrets sign the message, the newest first; none leaves it unsigned.
	// "whsec_<base64>" or any other text.
	Secrets []string
	// Headers are sent along, Authorization for instance. They can't replace
	// those that the effector sets.
	Headers map[string]string
	// Types are the action types that the receiver understands; none is all.
	Types []policy.ActionType
	// Client is one of NewClient's.
	Client *http.Client
	// UserAgent names this version.
	UserAgent string
	// Now is the clock.
	Now func() time.Time
}

// Webhook posts actions to a URL, following the Standard Webhooks
// specification: webhook-id is the action's key and repeats as
// Idempotency-Key, so a receiver can drop what it has seen.
type Webhook struct {
	url       *url.URL
	signer    signer
	header    http.Header
	types     []policy.ActionType
	client    *http.Client
	userAgent string
	now       func() time.Time
	hide      redactor
}

// NewWebhook checks the options. Its errors do not repeat secrets.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	s, err := newSigner(o.Secrets)
	if err != nil {
		return nil, err
	}
	hidden := append(urlSecrets(u), o.Secrets...)
	for _, secret := range o.Secrets {
		hidden = append(hidden, strings.TrimPrefix(secret, secretPrefix))
	}
	header := http.Header{}
	for name, value := range o.Headers {
		if err := checkHeader(name, value); err != nil {
			return nil, err
		}
		header.Set(name, value)
		// Of "Bearer abc", both the whole and "abc" are worth hiding.
		hidden = append(append(hidden, value), strings.Fields(value)...)
	}
	return &Webhook{
		url: u, signer: s, header: header, types: o.Types, client: o.Client,
		userAgent: o.UserAgent, now: o.Now, hide: newRedactor(hidden...),
	}, nil
}

// checkHeader refuses what net/http would refuse at the first request, with
// the value in the error.
func checkHeader(name, value string) error {
	if name == "" || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return fmt.Errorf("headers: %q is not a header name", name)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fmt.Errorf("headers.%s: its value has control characters", name)
	}
	return nil
}

// parseURL accepts absolute http and https URLs. Its error does not repeat
// the URL, which may hold credentials.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("url: not a URL (it is not repeated here, it may hold credentials)")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("url: want an absolute http or https URL")
	}
	u.Fragment = ""
	return u, nil
}

// Do implements policy.Effector: one attempt.
func (w *Webhook) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	if !w.understands(a.Type) {
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("the webhook's types do not list %q", a.Type)}
	}
	body, err := json.Marshal(newMessage(a))
	if err != nil {
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("action %s: its inputs can't be written as JSON: %w", a.Key, err)}
	}
	ans, err := w.post(ctx, a.Key, w.now(), body)
	if err != nil {
		return policy.Outcome{}, err
	}
	return policy.Outcome{Summary: fmt.Sprintf("%s answered %d %s", place(w.url), ans.status, http.StatusText(ans.status))}, nil
}

// post sends one message, signed; an answer other than a success is an error.
func (w *Webhook) post(ctx context.Context, key string, now time.Time, body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &policy.PermanentError{Err: errors.New(w.hide.text(err.Error()))}
	}
	w.setHeader(req, key, now, body)
	ans, err := exchange(w.client, req, maxAnswer, w.hide)
	if err != nil {
		return nil, err
	}
	if !ans.ok() {
		return nil, statusError(ans, w.url, now, w.hide)
	}
	return ans, nil
}

// understands reports whether the receiver takes actions of a type.
func (w *Webhook) understands(t policy.ActionType) bool {
	return len(w.types) == 0 || slices.Contains(w.types, t)
}

func (w *Webhook) setHeader(req *http.Request, key string, now time.Time, body []byte) {
	for name, values := range w.header {
		req.Header[name] = values
	}
	if host := w.header.Get("Host"); host != "" {
		req.Host = host
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.userAgent)
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("webhook-id", key)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	if signature := w.signer.sign(key, now, body); signature != "" {
		req.Header.Set("webhook-signature", signature)
	}
}

// message is the body. It is the same for every attempt: Timestamp is when
// the event occurred, while the header webhook-timestamp is the attempt's.
type message struct {
	Type      string      `json:"type"`
	Timestamp time.Time   `json:"timestamp"`
	Data      messageData `json:"data"`
}

type messageData struct {
	ID         string            `json:"id"`
	Key        string            `json:"key"`
	Type       policy.ActionType `json:"type"`
	Target     string            `json:"target"`
	Policy     string            `json:"policy"`
	PolicyHash string            `json:"policyHash,omitempty"`
	Asset      string            `json:"asset"`
	Model      string            `json:"model,omitempty"`
	Window     string            `json:"window,omitempty"`
	Event      string            `json:"event,omitempty"`
	Cause      string            `json:"cause,omitempty"`
	Severity   string            `json:"severity,omitempty"`
	Title      string            `json:"title,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Inputs     map[string]any    `json:"inputs,omitempty"`
}

func newMessage(a policy.Action) message {
	return message{
		Type:      "modelwarden.action." + string(a.Type),
		Timestamp: happened(a).UTC(),
		Data: messageData{
			ID: a.ID, Key: a.Key, Type: a.Type, Target: a.Target,
			Policy: a.Policy, PolicyHash: a.PolicyHash,
			Asset: a.Asset, Model: a.Model, Window: a.Window, Event: a.Event,
			Cause: a.Cause, Severity: a.Severity, Title: a.Title, Reason: a.Reason,
			Inputs: a.Inputs,
		},
	}
}
