package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/review"
)

// silenceDoc is a silence as the API has it.
type silenceDoc struct {
	review.Silence
	State string `json:"state"`
}

// silenceBody is what the server takes; see /openapi.json.
type silenceBody struct {
	Match *review.Match `json:"match,omitempty"`
	From  string        `json:"from,omitempty"`
	Until string        `json:"until"`
	By    string        `json:"by"`
	Why   string        `json:"why"`
}

func (p *program) silenceCommand() *cobra.Command {
	states := []string{review.SilencePending, review.SilenceActive, review.SilenceExpired}
	suggest := p.completeFrom(suggestion{path: "silences", query: url.Values{"state": {review.SilenceActive}}, field: "id", describe: "why"})
	list := listCommand(p, listing[silenceDoc]{
		use: "list", short: "List silences, the newest first",
		example: "  modelwarden silence list --state active\n  modelwarden silence list -o json",
		path:    "silences", columns: silenceColumns,
		filters: []filter{{flag: "state", param: "state", values: states, usage: "only in this `STATE`: pending, active or expired"}},
	})
	show := showCommand(p, showing[silenceDoc]{
		use: "show ID", argument: "ID", short: "Show one silence",
		example: "  modelwarden silence show 20260304T120000Z-k3f7",
		path:    idPath("silences/"), page: silencePage, completes: suggest,
	})
	return group("silence", "Let nobody be called for certain reviews for a while",
		"A silence keeps reviews from calling anybody: they are kept and shown, their\ndeadlines wait, and when it ends those that are still open call.",
		list, show, p.silenceAdd(), p.silenceEnd(suggest))
}

func silenceColumns(o *output) []column[silenceDoc] {
	type item = silenceDoc
	return []column[item]{
		{"id", func(s item) cell { return text(s.ID) }},
		{"state", func(s item) cell { return text(s.State) }},
		{"match", func(s item) cell { return prose(matchText(s.Match)) }},
		{"from", func(s item) cell { return o.when(s.From) }},
		{"until", func(s item) cell { return o.when(silenceOver(s)) }},
		{"by", func(s item) cell { return text(s.By) }},
		{"why", func(s item) cell { return prose(s.Why) }},
	}
}

// silenceOver is when a silence ends, or ended.
func silenceOver(s silenceDoc) time.Time {
	if !s.Ended.IsZero() {
		return s.Ended
	}
	return s.Until
}

// matchText writes a match as the flags that make it.
func matchText(m review.Match) string {
	var parts []string
	for _, f := range matchFlags(&m) {
		for _, p := range *f.patterns {
			parts = append(parts, f.name+"="+p)
		}
	}
	return cmp.Or(strings.Join(parts, " "), "every review")
}

// matchFlag is one list of a match with the flag that fills it.
type matchFlag struct {
	name, usage string
	patterns    *[]string
}

func matchFlags(m *review.Match) []matchFlag {
	return []matchFlag{
		{"workspace", "of this `WORKSPACE`", &m.Workspace},
		{"model", "of this `MODEL`, by name or id", &m.Model},
		{"asset", "about this `ASSET`", &m.Asset},
		{"policy", "fed by the policy with this `NAME`", &m.Policy},
		{"severity", "of this `SEVERITY`: info, warning, error or critical", &m.Severity},
		{"cause", "of this `CAUSE`", &m.Cause},
	}
}

func silencePage(o *output, s silenceDoc) error {
	return o.facts([]fact{
		{"silence", text(s.ID)},
		{"state", text(s.State)},
		{"match", text(matchText(s.Match))},
		{"from", o.when(s.From)},
		{"until", o.when(s.Until)},
		{"by", text(s.By)},
		{"why", text(s.Why)},
		{"created", o.when(s.Created)},
		{"ended", o.when(s.Ended)},
		{"ended by", text(s.EndedBy)},
	})
}

// silenceFlags declares what every new silence needs.
func silenceFlags(c *cobra.Command, body *silenceBody, by, lasting, until *string) {
	c.Flags().StringVar(lasting, "for", "", "how long: `DURATION` such as 30m, 4h or 2d")
	c.Flags().StringVar(until, "until", "", "until when: `TIME` such as 2026-03-02T09:00:00Z or 2026-03-02")
	c.Flags().StringVar(by, "by", "", "`NAME` of who does this (default $USER)")
	c.Flags().StringVar(&body.Why, "why", "", "`TEXT`: why nobody is to be called")
}

// signed fills in who makes a silence, and asks for the reason.
func (p *program) signed(body *silenceBody, by string) (err error) {
	if body.By, err = p.person(by); err != nil {
		return err
	}
	if strings.TrimSpace(body.Why) == "" {
		return Usagef("a silence needs a reason, because whoever finds it asks for one: --why TEXT")
	}
	return nil
}

func (p *program) silenceAdd() *cobra.Command {
	var match review.Match
	var body silenceBody
	var by, from, lasting, until string
	c := &cobra.Command{
		Use: "add", Short: "Silence the reviews that match",
		Long: `Silence the reviews that match. The flags that select take globs (* any text, ?
one character) and may be given more than once; every kind of flag that is given
must match. --cause '*' silences everything.`,
		Example: `  modelwarden silence add --model 'churn*' --severity warning --for 4h --why "migration of the feature store"
  modelwarden silence add --workspace contoso-ml --from 2026-03-07T20:00:00Z --for 6h --why "release"`,
		Args: arguments(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	for _, f := range matchFlags(&match) {
		c.Flags().StringArrayVar(f.patterns, f.name, nil, "only reviews "+f.usage)
	}
	complete(c, "severity", "info", "warning", "error", "critical")
	_ = c.RegisterFlagCompletionFunc("asset", p.completeAsset)
	c.Flags().StringVar(&from, "from", "", "from when: `TIME` such as 2026-03-02T09:00:00Z, or 2h from now (default: now)")
	silenceFlags(c, &body, &by, &lasting, &until)
	c.Flags().SortFlags = false
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := p.silenceSpan(&body, match, by, from, lasting, until); err != nil {
			return err
		}
		client, err := p.connect()
		if err != nil {
			return err
		}
		line, err := makeSilence(c.Context(), client, "silences", body)
		if err == nil {
			fmt.Fprintln(p.Stdout, printable(line))
		}
		return err
	}
	return c
}

// silenceSpan checks the flags of a new silence and writes them as the API
// wants them.
func (p *program) silenceSpan(body *silenceBody, match review.Match, by, from, lasting, until string) error {
	body.Match = &match
	if matchText(match) == matchText(review.Match{}) {
		return Usagef("say which reviews: --model, --workspace, --asset, --policy, --severity or --cause ('*' is all)")
	}
	if err := p.signed(body, by); err != nil {
		return err
	}
	begin := p.Now()
	if from != "" {
		var err error
		if begin, err = parseFuture(from, begin); err != nil {
			return Usagef("--from: %w", err)
		}
		body.From = begin.UTC().Format(time.RFC3339)
	}
	var err error
	body.Until, err = p.endOf("silence", begin, lasting, until)
	return err
}

func makeSilence(ctx context.Context, c *client, path string, body silenceBody) (string, error) {
	var s silenceDoc
	if err := c.post(ctx, path, body, &s); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is %s until %s: %s", s.ID, s.State, shownTime(s.Until), matchText(s.Match)), nil
}

func (p *program) silenceEnd(suggest completion) *cobra.Command {
	var by string
	var body struct {
		By string `json:"by"`
	}
	c := verbCommand(p, verb{
		use: "end", argument: "ID", short: "End silences before their time",
		example:   "  modelwarden silence end 20260304T120000Z-k3f7",
		completes: suggest,
		check:     func() (err error) { body.By, err = p.person(by); return err },
		do: func(ctx context.Context, c *client, id string) (string, error) {
			var s silenceDoc
			if err := c.post(ctx, "silences/"+url.PathEscape(id)+"/end", body, &s); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s is over since %s", cmp.Or(s.ID, id), shownTime(silenceOver(s))), nil
		},
	})
	c.Flags().StringVar(&by, "by", "", "`NAME` of who does this (default $USER)")
	return c
}
