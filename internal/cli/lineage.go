package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// lineageFlags are the flags of the command.
type lineageFlags struct {
	up, down bool
	depth    int
	asOf     string
}

func (p *program) lineageCommand() *cobra.Command {
	var (
		out output
		f   lineageFlags
	)
	c := &cobra.Command{
		Use:   "lineage ASSET",
		Short: "Show what an asset comes from and what it leads to",
		Long: `Show the graph around an asset as a tree: what it comes from and what it leads
to. Arrows point from cause to effect. An asset that several paths reach is
drawn once in full and marked "see above" elsewhere.

A model without a version means the version that serves, else the latest.
With -o tsv there is a line for every edge, with -o json the graph itself.`,
		Example: `  modelwarden lineage model/contoso-ml/churn/12
  modelwarden lineage deployment/contoso-ml/churn-ep/blue --up
  modelwarden lineage model/contoso-ml/churn --as-of 3d
  modelwarden lineage data/contoso-ml/churn-train/7 --down --depth 3 -o json`,
		Args: arguments("ASSET"), ValidArgsFunction: p.completeAsset,
	}
	c.Flags().BoolVar(&f.up, "up", false, "only what the asset comes from")
	c.Flags().BoolVar(&f.down, "down", false, "only what the asset leads to")
	c.Flags().IntVar(&f.depth, "depth", lineage.DefaultDepth, "follow at most `N` edges from the asset")
	c.Flags().StringVar(&f.asOf, "as-of", "", "the graph as it was at this `TIME`: 2026-03-01T09:30:00Z, 2026-03-01, or 2h or 3d ago")
	complete(c, "as-of")
	out.flags(c)
	c.Flags().SortFlags = false
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := out.open(p); err != nil {
			return err
		}
		return p.lineage(c.Context(), &out, args[0], f)
	}
	return c
}

func (p *program) lineage(ctx context.Context, out *output, asset string, f lineageFlags) error {
	path, query, err := p.lineageRequest(asset, f)
	if err != nil {
		return err
	}
	client, err := p.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := client.get(ctx, path, query, &raw); err != nil {
		return err
	}
	return show(out, raw, func(g lineage.Graph) error { return graphPage(out, &g) })
}

func (p *program) lineageRequest(asset string, f lineageFlags) (string, url.Values, error) {
	path, err := assetPath("lineage/")(asset)
	if err != nil {
		return "", nil, err
	}
	if f.depth < 1 || f.depth > lineage.MaxDepth {
		return "", nil, Usagef("--depth %d: want 1 to %d", f.depth, lineage.MaxDepth)
	}
	q := url.Values{"depth": {strconv.Itoa(f.depth)}, "direction": {string(lineage.Both)}}
	if f.up != f.down {
		q.Set("direction", string(lineage.Up))
		if f.down {
			q.Set("direction", string(lineage.Down))
		}
	}
	if f.asOf != "" {
		at, err := parseTime(f.asOf, p.Now())
		if err != nil {
			return "", nil, Usagef("--as-of: %w", err)
		}
		q.Set("asOf", at.Format(time.RFC3339))
	}
	return path, q, nil
}

func graphPage(o *output, g *lineage.Graph) error {
	if o.format == formatTSV {
		return edgeRows(o, g)
	}
	w := bufio.NewWriter(o.to)
	if err := drawTree(w, g); err != nil {
		return err
	}
	return w.Flush()
}

// edgeRows writes a row for every edge.
func edgeRows(o *output, g *lineage.Graph) error {
	w := newRowWriter(o, 5)
	if !o.noHeaders {
		w.row([]cell{text("from"), text("type"), text("to"), text("since"), text("until")})
	}
	for _, e := range g.Edges {
		w.row([]cell{text(string(e.From)), text(string(e.Type)), text(string(e.To)), o.when(e.Since), o.when(e.Until)})
	}
	return w.flush()
}
