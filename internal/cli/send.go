package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
)

// Header of the shared secret, and Event Grid's own.
const (
	secretHeader    = "X-Modelwarden-Secret"
	eventTypeHeader = "Aeg-Event-Type"
)

// maxRawBytes bounds a body that is sent as it is.
const maxRawBytes = 16 << 20

// sendFlags are the flags of `event send`.
type sendFlags struct {
	to, secretEnv, secretFile string
	raw                       bool
}

func (p *program) sendCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send FILE|-",
		Short: "Send events from a file, as Event Grid or an action group would",
		Long: `Send events from a file (- is standard input), as Event Grid or an action group
would. The file holds one event, an array, or one event a line; Event Grid
schema, CloudEvents and the common alert schema are told apart by their keys.
Large files go in batches of at most 5,000 events and 1 MiB.

Sending a file twice does no harm: an event is known by its source, id, type
and subject. Where the subscriber asks for a shared secret, name the variable
or the file that holds it; else the access token is shown.`,
		Example: `  modelwarden event send model-registered.json
  modelwarden event send --to alerts alert.json
  jq -c '.[]' export.json | modelwarden event send --secret-env WEBHOOK_SECRET -
  modelwarden event send --raw broken.bin`,
		Args: arguments("FILE"),
	}
	c.Flags().StringVar(&f.to, "to", "events", "`WHERE`: events (Event Grid's endpoint) or alerts (the action groups')")
	c.Flags().StringVar(&f.secretEnv, "secret-env", "", "the environment `VARIABLE` that holds the shared secret")
	c.Flags().StringVar(&f.secretFile, "secret-file", "", "the `FILE` that holds the shared secret")
	c.Flags().BoolVar(&f.raw, "raw", false, "send the bytes as they are in one request, even if they are no event")
	complete(c, "to", "events", "alerts")
	c.Flags().SortFlags = false
	c.RunE = func(c *cobra.Command, args []string) error { return p.sendFile(c.Context(), args[0], f) }
	return c
}

func (p *program) sendFile(ctx context.Context, name string, f sendFlags) error {
	s, err := p.newSender(f)
	if err != nil {
		return err
	}
	in, err := p.input(name)
	if err != nil {
		return err
	}
	defer in.Close()
	if f.raw {
		err = s.sendRaw(ctx, in)
	} else {
		err = s.sendAll(ctx, in)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return s.report(p.Stdout, name, err)
}

// input opens a file, or standard input for "-".
func (p *program) input(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.Stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		_ = f.Close()
		return nil, fmt.Errorf("%s is a folder: name a file", name)
	}
	return f, nil
}

// sender posts to the subscriber and counts.
type sender struct {
	client   *client
	path     string
	header   http.Header
	progress io.Writer // nil unless somebody watches

	accepted, quarantined, requests int
	validated                       bool
}

func (p *program) newSender(f sendFlags) (*sender, error) {
	s := &sender{header: http.Header{}}
	switch f.to {
	case "events":
		s.path = "/events"
	case "alerts":
		s.path = "/alerts/azure-monitor"
	default:
		return nil, Usagef("--to %q: want events or alerts", f.to)
	}
	secret, err := p.sharedSecret(f)
	if err != nil {
		return nil, err
	}
	if s.client, err = p.connect(); err != nil {
		return nil, err
	}
	if secret != "" {
		s.header.Set(secretHeader, secret)
		s.client.token = ""
	}
	if isTerminal(p.Stderr) {
		s.progress = p.Stderr
	}
	return s, nil
}

func (p *program) sharedSecret(f sendFlags) (string, error) {
	switch {
	case f.secretEnv != "" && f.secretFile != "":
		return "", Usagef("give either --secret-env or --secret-file, not both")
	case f.secretFile != "":
		return readSecret(f.secretFile)
	case f.secretEnv == "":
		return "", nil
	}
	secret, err := oneLineSecret(f.secretEnv, []byte(p.Getenv(f.secretEnv)))
	if err == nil && secret == "" {
		err = Usagef("--secret-env: the environment variable %s is not set", f.secretEnv)
	}
	return secret, err
}

// sendAll posts a file batch by batch, each after the one before.
func (s *sender) sendAll(ctx context.Context, in io.Reader) error {
	for b, err := range batches(in) {
		if err != nil {
			return err
		}
		if err := s.sendBatch(ctx, b); err != nil {
			return err
		}
	}
	if s.requests == 0 {
		return errors.New("there is no event in it")
	}
	return nil
}

func (s *sender) sendBatch(ctx context.Context, b *batch) error {
	body, contentType := b.body()
	kind := ""
	switch b.schema {
	case eventGridSchema:
		kind = "Notification"
	case handshakeSchema:
		kind = "SubscriptionValidation"
	}
	return s.send(ctx, body, contentType, kind)
}

func (s *sender) sendRaw(ctx context.Context, in io.Reader) error {
	body, err := io.ReadAll(io.LimitReader(in, maxRawBytes+1))
	if err != nil {
		return err
	}
	if len(body) > maxRawBytes {
		return fmt.Errorf("larger than %d MiB: too large for one request", maxRawBytes>>20)
	}
	return s.send(ctx, body, "application/json", "")
}

// send posts one body. The subscriber knows events again, so the request may
// be repeated.
func (s *sender) send(ctx context.Context, body []byte, contentType, eventType string) error {
	header := s.header.Clone()
	if eventType != "" {
		header.Set(eventTypeHeader, eventType)
	}
	a, err := s.client.do(ctx, request{
		method: http.MethodPost, path: s.path, body: body, contentType: contentType, header: header, repeatable: true,
	})
	if err != nil {
		return s.hinted(err)
	}
	var got struct {
		Accepted, Quarantined int
		ValidationResponse    string
	}
	if len(bytes.TrimSpace(a.body)) > 0 {
		if err := s.client.decode(a, &got); err != nil {
			return err
		}
	}
	s.requests++
	s.accepted += got.Accepted
	s.quarantined += got.Quarantined
	s.validated = s.validated || got.ValidationResponse != ""
	if s.progress != nil && s.requests > 1 {
		fmt.Fprintf(s.progress, "\r%d events in %d requests", s.accepted+s.quarantined, s.requests)
	}
	return nil
}

// hinted adds to a refusal for want of a credential which ones the subscriber
// may ask for.
func (s *sender) hinted(err error) error {
	var p *problemError
	if !errors.As(err, &p) || p.Status != http.StatusUnauthorized {
		return err
	}
	switch {
	case s.header.Get(secretHeader) != "":
		p.hint = ": the secret of --secret-env or --secret-file was not accepted"
	case s.client.token != "":
		p.hint = ": the token was not accepted; if the subscriber asks for a shared secret, name it with --secret-env or --secret-file"
	default:
		p.hint = ": name the subscriber's shared secret with --secret-env or --secret-file, or set MODELWARDEN_TOKEN"
	}
	return err
}

// report says what became of the file, or of the part before an error.
func (s *sender) report(out io.Writer, name string, err error) error {
	if s.progress != nil && s.requests > 1 {
		fmt.Fprintln(s.progress)
	}
	if name == "-" {
		name = "standard input"
	}
	if err != nil {
		if s.requests > 0 {
			return fmt.Errorf("%s: %w; the %d events before are safe, and sending all again does no harm", name, err, s.accepted+s.quarantined)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	if s.validated {
		fmt.Fprintln(out, "the subscription handshake was answered")
		if s.accepted+s.quarantined == 0 {
			return nil
		}
	}
	fmt.Fprintf(out, "accepted %d, quarantined %d\n", s.accepted, s.quarantined)
	if s.quarantined > 0 {
		fmt.Fprintln(out, "what was not understood is kept: modelwarden quarantine list")
	}
	return nil
}
