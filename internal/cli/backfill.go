package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// backfillDoc is what the API says of a backfill.
type backfillDoc struct {
	Workspace string                `json:"workspace"`
	State     lineage.BackfillState `json:"state"`
	Since     time.Time             `json:"since"`
	Phase     string                `json:"phase"`
	Progress  float64               `json:"progress"`
	Seen      int                   `json:"seen"`
	Told      int                   `json:"told"`
	Problem   string                `json:"problem"`
	Created   bool                  `json:"created"`
}

// watchEvery is how often a backfill is looked at.
const watchEvery = time.Second

func (p *program) backfillCommand() *cobra.Command {
	var since string
	var cancel bool
	c := &cobra.Command{
		Use:   "backfill WORKSPACE",
		Short: "Complete the lineage with a workspace's history",
		Long: `Complete the lineage with a workspace's history: the server walks over its
models, deployments and jobs and tells itself what it does not know. Nothing is
retrained, paged or rolled back for what is found.

The command watches until the end. Ctrl-C ends the watching and not the
backfill; the same command again watches on.`,
		Example: `  modelwarden backfill contoso-ml
  modelwarden backfill contoso-ml --since 2026-01-01
  modelwarden backfill contoso-ml --cancel`,
		Args: arguments("WORKSPACE"), ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().StringVar(&since, "since", "", "go back to this `TIME`: 2026-03-01T09:30:00Z, 2026-03-01, or 90d ago (default: to the beginning)")
	c.Flags().BoolVar(&cancel, "cancel", false, "end the workspace's backfill; what it did stays")
	c.Flags().SortFlags = false
	c.RunE = func(c *cobra.Command, args []string) error {
		if cancel && since != "" {
			return Usagef("give either --since or --cancel, not both")
		}
		client, err := p.connect()
		if err != nil {
			return err
		}
		b := backfill{p: p, client: client, workspace: args[0], path: "workspaces/" + url.PathEscape(args[0]) + "/backfill"}
		if cancel {
			return b.cancel(c.Context())
		}
		return b.run(c.Context(), since)
	}
	return c
}

// backfill is one invocation.
type backfill struct {
	p               *program
	client          *client
	workspace, path string
}

func (b *backfill) cancel(ctx context.Context) error {
	a, err := b.client.do(ctx, request{method: http.MethodDelete, path: apiPrefix + b.path, repeatable: true})
	if err != nil {
		return err
	}
	var doc backfillDoc
	if err := b.client.decode(a, &doc); err != nil {
		return err
	}
	fmt.Fprintln(b.p.Stdout, printable(doc.verdict()))
	return nil
}

// run starts the backfill, or finds it under way, and watches it.
func (b *backfill) run(ctx context.Context, since string) error {
	body := map[string]string{}
	if since != "" {
		t, err := parseTime(since, b.p.Now())
		if err != nil {
			return Usagef("--since: %w", err)
		}
		body["since"] = t.Format(time.RFC3339)
	}
	var doc backfillDoc
	if err := b.client.post(ctx, b.path, body, &doc); err != nil {
		return err
	}
	if !doc.Created {
		fmt.Fprintln(b.p.Stderr, "a backfill is under way already; watching it")
	}
	doc, err := b.watch(ctx, doc)
	if ctx.Err() != nil {
		fmt.Fprintf(b.p.Stderr, "the backfill goes on without us; to end it: modelwarden backfill %s --cancel\n", printable(b.workspace))
	}
	if err != nil {
		return err
	}
	if doc.State == lineage.BackfillFailed {
		return fmt.Errorf("%s", doc.verdict())
	}
	fmt.Fprintln(b.p.Stdout, printable(doc.verdict()))
	return nil
}

// watch shows how far the backfill is until it has ended.
func (b *backfill) watch(ctx context.Context, doc backfillDoc) (backfillDoc, error) {
	show := newProgress(b.p.Stderr)
	defer show.end()
	for {
		show.update(&doc)
		if doc.State != lineage.BackfillRequested && doc.State != lineage.BackfillRunning {
			return doc, nil
		}
		if err := wait(ctx, watchEvery); err != nil {
			return doc, err
		}
		doc = backfillDoc{}
		if err := b.client.get(ctx, b.path, nil, &doc); err != nil {
			return doc, err
		}
	}
}

// verdict is what is so at the end.
func (d *backfillDoc) verdict() string {
	s := fmt.Sprintf("backfill of %s %s: %d looked at, %d not known before", d.Workspace, d.State, d.Seen, d.Told)
	if d.State == lineage.BackfillFailed {
		s += ": " + d.Problem
	}
	return s
}

// line is where it stands.
func (d *backfillDoc) line() string {
	s := fmt.Sprintf("%3.0f%%  %s: %d looked at, %d not known before", d.Progress*100, d.phase(), d.Seen, d.Told)
	if d.Problem != "" {
		s += "; waiting: " + d.Problem
	}
	return s
}

func (d *backfillDoc) phase() string {
	switch {
	case d.State == lineage.BackfillRequested:
		return "not taken up yet"
	case d.Phase == "":
		return string(d.State)
	}
	return d.Phase
}

// progress shows how far something is: a bar that moves where a person
// watches, and otherwise a line whenever there is something to say.
type progress struct {
	to      io.Writer
	bar     bool
	drawn   bool
	phase   string
	problem string
	tenth   int
}

func newProgress(to io.Writer) *progress { return &progress{to: to, bar: isTerminal(to), tenth: -1} }

func (p *progress) update(d *backfillDoc) {
	if p.bar {
		p.drawn = true
		fmt.Fprintf(p.to, "\r%s\x1b[K", drawBar(d))
		return
	}
	tenth := int(d.Progress * 10)
	if d.phase() == p.phase && d.Problem == p.problem && tenth == p.tenth {
		return
	}
	p.phase, p.problem, p.tenth = d.phase(), d.Problem, tenth
	fmt.Fprintln(p.to, printable(d.line()))
}

// end leaves the bar where it is and begins a new line.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.to)
	}
}

// Widths of the bar, and of the line that it is on, in columns.
const (
	barWidth  = 24
	lineWidth = 78
)

func drawBar(d *backfillDoc) string {
	full := min(max(int(d.Progress*barWidth), 0), barWidth)
	bar := "[" + strings.Repeat("#", full) + strings.Repeat("-", barWidth-full) + "] "
	return bar + clip(printable(d.line()), lineWidth-len(bar))
}
