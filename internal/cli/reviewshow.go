package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/review"
)

// formatMarkdown is what a card can be written in besides the usual formats.
const formatMarkdown = "markdown"

// reviewShow prints the card of a review for people. Scripts get the review, or
// the card when they ask for it.
func (p *program) reviewShow() *cobra.Command {
	var (
		out  output
		card bool
	)
	c := &cobra.Command{
		Use: "show ID", Short: "Show one review: what is wrong, why, what changed, what was done, what to do",
		Example: `  modelwarden review show 4jx2m7v3qk2c6w4x2y5z7a2b3c-1
  modelwarden review show 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 -o markdown
  modelwarden review show 4jx2m7v3qk2c6w4x2y5z7a2b3c-1 --card -o json`,
		Args: arguments("ID"), ValidArgsFunction: p.completeReview(),
	}
	out.flags(c)
	c.Flags().Lookup("output").Usage = "`FORMAT`: table, json, tsv or markdown"
	c.Flags().BoolVar(&card, "card", false, "with -o json: print the whole card rather than the review alone")
	c.Flags().SortFlags = false
	c.RunE = func(c *cobra.Command, args []string) error {
		markdown := out.format == formatMarkdown
		if markdown {
			out.format = formatTable
		}
		if err := out.open(p); err != nil {
			return err
		}
		if card && out.format == formatTSV {
			return Usagef("--card -o tsv: a card has no columns: want table, json or markdown")
		}
		client, err := p.connect()
		if err != nil {
			return err
		}
		path := "reviews/" + url.PathEscape(args[0])
		if !card && out.format != formatTable {
			return showReview(c.Context(), &out, client, path)
		}
		return showCard(c.Context(), &out, client, path+"/card", markdown)
	}
	return c
}

// showReview prints the review itself: facts, or JSON as the server said it.
func showReview(ctx context.Context, out *output, client *client, path string) error {
	var raw json.RawMessage
	if err := client.get(ctx, path, nil, &raw); err != nil {
		return err
	}
	return show(out, raw, func(r review.Review) error { return out.facts(reviewFacts(out, r)) })
}

// showCard prints the card.
func showCard(ctx context.Context, out *output, client *client, path string, markdown bool) error {
	var raw json.RawMessage
	if err := client.get(ctx, path, nil, &raw); err != nil {
		return err
	}
	return show(out, raw, func(c review.Card) error {
		text := review.Text(&c, out.now)
		if markdown {
			text = review.Markdown(&c, out.now)
		}
		_, err := io.WriteString(out.to, printableLines(text))
		return err
	})
}
