package cli

import (
	"encoding/json"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// filter is a flag that narrows a list: one query parameter of the API.
type filter struct {
	flag, short, param, usage string
	// values are offered by completion.
	values []string
	// normal checks what was typed and writes it as the API wants it; nil
	// passes it on.
	normal func(p *program, typed string) (string, error)
	// complete offers values by asking the server.
	complete func(p *program) completion
	// preset is the value where the flag is not given; "" is none.
	preset string
}

// listing describes a command that prints a list of T.
type listing[T any] struct {
	use, short, long, example string
	path                      string
	filters                   []filter
	columns                   func(o *output) []column[T]
}

const defaultLimit = 50

// listCommand builds the command.
func listCommand[T any](p *program, l listing[T]) *cobra.Command {
	var (
		out    output
		limit  int
		values = make([]string, len(l.filters))
	)
	c := &cobra.Command{
		Use: l.use, Short: l.short, Long: l.long, Example: l.example,
		Args: arguments(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	for i, f := range l.filters {
		c.Flags().StringVarP(&values[i], f.flag, f.short, f.preset, f.usage)
		if f.complete != nil {
			_ = c.RegisterFlagCompletionFunc(f.flag, f.complete(p))
		} else {
			complete(c, f.flag, f.values...)
		}
	}
	c.Flags().IntVar(&limit, "limit", defaultLimit, "print at most `N`; 0 prints all")
	out.flags(c)
	c.Flags().SortFlags = false
	c.RunE = func(c *cobra.Command, _ []string) error {
		if limit < 0 {
			return Usagef("--limit %d: want 0 (all) or more", limit)
		}
		if err := out.open(p); err != nil {
			return err
		}
		query, err := p.queryOf(l.filters, values)
		if err != nil {
			return err
		}
		client, err := p.connect()
		if err != nil {
			return err
		}
		return listOf(&out, client.items(c.Context(), l.path, query, limit), l.columns(&out))
	}
	return c
}

func (p *program) queryOf(filters []filter, values []string) (url.Values, error) {
	q := url.Values{}
	for i, f := range filters {
		v := values[i]
		if v == "" {
			continue
		}
		if f.normal != nil {
			var err error
			if v, err = f.normal(p, v); err != nil {
				return nil, Usagef("--%s: %w", f.flag, err)
			}
		}
		if v != "" {
			q.Set(f.param, v)
		}
	}
	return q, nil
}

// Filters that many lists have.
func filterAsset() filter {
	return filter{
		flag: "asset", param: "asset", usage: "only about this `ASSET`",
		normal:   func(_ *program, s string) (string, error) { return assetID(s) },
		complete: func(p *program) completion { return p.completeAsset },
	}
}

func filterPolicy() filter {
	return filter{flag: "policy", param: "policy", usage: "only of the policy with this `NAME`"}
}

func filterWindow() []filter {
	at := func(p *program, s string) (string, error) {
		t, err := parseTime(s, p.Now())
		return t.Format(time.RFC3339), err
	}
	return []filter{
		{flag: "since", param: "since", usage: "not before this `TIME`: 2026-03-01T09:30:00Z, 2026-03-01, or 2h or 3d ago", normal: at},
		{flag: "until", param: "until", usage: "before this `TIME`", normal: at},
	}
}

// assetID checks an asset id and writes it as the API does.
func assetID(typed string) (string, error) {
	id, err := lineage.ParseID(typed)
	if err != nil {
		return "", Usagef("%w", err)
	}
	return string(id), nil
}

// showing describes a command that prints one T.
type showing[T any] struct {
	use, short, long, example string
	// argument is what usage calls the id.
	argument string
	// path makes the API's path of the id.
	path func(id string) (string, error)
	page func(o *output, doc T) error
	// completes offers ids.
	completes completion
}

// showCommand builds the command.
func showCommand[T any](p *program, s showing[T]) *cobra.Command {
	var out output
	c := &cobra.Command{
		Use: s.use, Short: s.short, Long: s.long, Example: s.example,
		Args: arguments(s.argument), ValidArgsFunction: s.completes,
	}
	out.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := out.open(p); err != nil {
			return err
		}
		path, err := s.path(args[0])
		if err != nil {
			return err
		}
		client, err := p.connect()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := client.get(c.Context(), path, nil, &raw); err != nil {
			return err
		}
		return show(&out, raw, func(doc T) error { return s.page(&out, doc) })
	}
	return c
}

// idPath makes a path function for ids that may hold any character: the id
// becomes one segment.
func idPath(prefix string) func(string) (string, error) {
	return func(id string) (string, error) { return prefix + url.PathEscape(id), nil }
}

// assetPath makes a path function for asset ids, which are path-escaped
// already and stand in paths as they are printed.
func assetPath(prefix string) func(string) (string, error) {
	return func(typed string) (string, error) {
		id, err := assetID(typed)
		return prefix + id, err
	}
}
