package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// verb describes a command that does something to one or more things.
type verb struct {
	use, short, long, example string
	// argument is what usage calls the ids.
	argument  string
	completes completion
	// check looks at the flags before anything is sent; nil has none.
	check func() error
	// do acts on one and says what is so now.
	do func(ctx context.Context, c *client, id string) (string, error)
}

// verbCommand builds the command. With several ids it goes on after a
// failure, so that one bad id does not hold up the others.
func verbCommand(p *program, v verb) *cobra.Command {
	c := &cobra.Command{
		Use: v.use + " " + v.argument + "...", Short: v.short, Long: v.long, Example: v.example,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return arguments(v.argument)(c, args)
			}
			return nil
		},
		ValidArgsFunction: v.completes,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if v.check != nil {
			if err := v.check(); err != nil {
				return err
			}
		}
		client, err := p.connect()
		if err != nil {
			return err
		}
		return p.each(c.Context(), client, args, v.do)
	}
	return c
}

func (p *program) each(ctx context.Context, c *client, ids []string, do func(context.Context, *client, string) (string, error)) error {
	failed := 0
	for _, id := range ids {
		line, err := do(ctx, c, id)
		switch {
		case err == nil:
			fmt.Fprintln(p.Stdout, printable(line))
		case len(ids) == 1 || ctx.Err() != nil:
			return err
		default:
			failed++
			fmt.Fprintln(p.Stderr, printable(fmt.Sprintf("%s: %v", id, err)))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d failed", failed, len(ids))
	}
	return nil
}
