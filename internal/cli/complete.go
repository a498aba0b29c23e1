package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Completion asks the server, so it is bounded: a slow or absent server
// means no suggestions, never a shell that hangs.
const (
	completionTime  = time.Second
	completionItems = 50
)

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// complete offers fixed values for a flag.
func complete(c *cobra.Command, flag string, values ...string) {
	// The error is for a flag that does not exist; the help test would see it.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// assetKinds begin every asset id.
var assetKinds = []string{"model/", "job/", "data/", "endpoint/", "deployment/", "monitor/"}

// completeAsset offers asset ids: the kinds first, then the models that the
// server knows.
func (p *program) completeAsset(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if !strings.Contains(typed, "/") {
		return withPrefix(assetKinds, typed), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	return p.completeModel(c, args, typed)
}

// completeModel offers model versions. The server narrows by workspace and by
// the beginning of the name.
func (p *program) completeModel(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	q := url.Values{}
	parts := strings.Split(typed, "/")
	if len(parts) > 2 && parts[0] == "model" {
		q.Set("workspace", parts[1])
		if parts[2] != "" {
			q.Set("q", parts[2])
		}
	}
	return p.suggest(c, suggestion{path: "models", query: q, field: "id", describe: "stage"}, typed)
}

// suggestion says which list to ask and what to offer of its items.
type suggestion struct {
	path  string
	query url.Values
	// field is what is offered, describe the field that explains it.
	field, describe string
}

// completeFrom offers values of a list.
func (p *program) completeFrom(s suggestion) completion {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return p.suggest(c, s, typed)
	}
}

func (p *program) suggest(c *cobra.Command, s suggestion, typed string) ([]string, cobra.ShellCompDirective) {
	client, err := p.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(contextOf(c), completionTime)
	defer cancel()
	var out []string
	for raw, err := range client.items(ctx, s.path, s.query, completionItems) {
		var item map[string]any
		if err != nil || json.Unmarshal(raw, &item) != nil {
			break
		}
		value, _ := item[s.field].(string)
		about, _ := item[s.describe].(string)
		// A value that would need escapes could not be typed back.
		if value != "" && value == printable(value) && strings.HasPrefix(value, typed) {
			out = append(out, strings.TrimRight(value+"\t"+clip(printable(about), 60), "\t"))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func contextOf(c *cobra.Command) context.Context {
	if ctx := c.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

func withPrefix(all []string, prefix string) []string {
	var out []string
	for _, s := range all {
		if strings.HasPrefix(s, prefix) {
			out = append(out, s)
		}
	}
	return out
}
