package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// statusDoc joins what the server says of its readiness and of its work.
type statusDoc struct {
	Status     string           `json:"status"`
	Components []component      `json:"components,omitempty"`
	Service    *json.RawMessage `json:"service,omitempty"`
	// ServiceError is why the second half could not be read.
	ServiceError string `json:"serviceError,omitempty"`
}

type component struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// serviceDoc is what is printed of the API's status.
type serviceDoc struct {
	Version     string           `json:"version"`
	Started     time.Time        `json:"started"`
	Queue       map[string]int64 `json:"queue"`
	OpenReviews map[string]int64 `json:"openReviews"`
	Policies    struct {
		Mode      string   `json:"mode"`
		Names     []string `json:"names"`
		LastError string   `json:"lastError"`
	} `json:"policies"`
}

func (p *program) statusCommand() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "status",
		Short: "Show whether the server is ready, and how much waits in its queue",
		Long: `Show whether the server is ready, component by component, and how much waits in
its queue. The exit code is 1 when a component can't work.`,
		Example: "  modelwarden status\n  modelwarden status -o json\n  modelwarden status --server https://modelwarden.contoso.example",
		Args:    arguments(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	out.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := out.open(p); err != nil {
			return err
		}
		client, err := p.connect()
		if err != nil {
			return err
		}
		doc, err := readStatus(c.Context(), client)
		if err != nil {
			return err
		}
		if err := printStatus(&out, doc); err != nil {
			return err
		}
		return doc.verdict(client)
	}
	return c
}

// verdict is the error that a command about a server which can't work, or
// does not let us look, ends with.
func (d *statusDoc) verdict(c *client) error {
	var down []string
	for _, part := range d.Components {
		if !part.OK {
			down = append(down, part.Name)
		}
	}
	switch {
	case len(down) > 0:
		return fmt.Errorf("%s is not ready: %s", c.base, strings.Join(down, ", "))
	case d.Status != "ready":
		return fmt.Errorf("%s is not ready", c.base)
	case d.ServiceError != "":
		return errors.New(d.ServiceError)
	}
	return nil
}

// readStatus asks both routes. A server that is not ready answers the first
// with 503 and the same document.
func readStatus(ctx context.Context, c *client) (*statusDoc, error) {
	a, err := c.do(ctx, request{
		method: http.MethodGet, path: "/readyz",
		accepts: func(status int) bool { return status == http.StatusServiceUnavailable },
	})
	if err != nil {
		return nil, err
	}
	doc := &statusDoc{}
	if err := c.decode(a, doc); err != nil {
		return nil, err
	}
	var service json.RawMessage
	if err := c.get(ctx, "status", nil, &service); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		doc.ServiceError = err.Error()
	} else {
		doc.Service = &service
	}
	return doc, nil
}

func printStatus(o *output, doc *statusDoc) error {
	if o.format == formatJSON {
		raw, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		return o.document(raw)
	}
	facts := []fact{{"status", text(doc.Status)}}
	for _, part := range doc.Components {
		state := "ok"
		if !part.OK {
			state = "NOT OK"
		}
		if part.Detail != "" {
			state += ", " + part.Detail
		}
		facts = append(facts, fact{part.Name, text(state)})
	}
	if doc.Service == nil {
		return o.facts(facts)
	}
	var s serviceDoc
	if err := json.Unmarshal(*doc.Service, &s); err != nil {
		return fmt.Errorf("the server's status can't be read: %w", err)
	}
	return o.facts(append(facts, serviceFacts(o, s)...))
}

func serviceFacts(o *output, s serviceDoc) []fact {
	return []fact{
		{"version", text(s.Version)},
		{"started", o.when(s.Started)},
		{"messages", text(counts(s.Queue, []string{"ready", "leased", "delayed", "dead"}))},
		{"reviews", text(counts(s.OpenReviews, []string{"critical", "error", "warning", "info"}))},
		{"mode", text(s.Policies.Mode)},
		{"in force", text(strings.Join(s.Policies.Names, ", "))},
		{"policy error", text(s.Policies.LastError)},
	}
}

// counts writes numbers in the given order, whatever else there is after them.
// A negative number means that the server can't tell.
func counts(m map[string]int64, order []string) string {
	names := slices.Clone(order)
	for name := range m {
		if !slices.Contains(order, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names[len(order):])
	var out []string
	for _, name := range names {
		n, ok := m[name]
		switch {
		case ok && n < 0:
			out = append(out, "? "+name)
		case ok:
			out = append(out, strconv.FormatInt(n, 10)+" "+name)
		}
	}
	return strings.Join(out, ", ")
}
