package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
	// ExitGate means that everything worked and a gate did not pass.
	ExitGate = 3
	// ExitInterrupted is what shells expect of a program that Ctrl-C ended.
	ExitInterrupted = 130
)

// ExitError is an error that ends the program with a code of its own. A nil
// Err prints nothing.
type ExitError struct {
	Code int
	Err  error
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives the cause to errors.Is.
func (e *ExitError) Unwrap() error { return e.Err }

// Usagef makes an error about how a command was called: exit code 2.
func Usagef(format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// Execute runs the tree that New built with the arguments after the program's
// name, prints an error as one sentence to standard error, and returns the
// exit code. When ctx was cancelled it says nothing and returns 130.
func Execute(ctx context.Context, root *cobra.Command, args []string) int {
	if args == nil {
		args = []string{} // nil would make cobra read os.Args
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return ExitOK
	case interrupted(ctx, err):
		return ExitInterrupted
	}
	code := ExitFailed
	var exit *ExitError
	if errors.As(err, &exit) {
		if code = exit.Code; exit.Err == nil {
			return code
		}
	}
	root.PrintErrf("%s: %s\n", root.Name(), printableLines(err.Error()))
	return code
}

// interrupted tells that the command ended because ctx was cancelled. A
// context that a signal ended has the signal for its cause.
func interrupted(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.Canceled) &&
		(errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)))
}

// arguments checks the number of positional arguments; names are what usage
// calls them.
func arguments(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return Usagef("%s needs %s: see %q", c.CommandPath(), strings.Join(names[len(args):], " and "), c.CommandPath()+" --help")
		case len(args) > len(names):
			return Usagef("%s: unexpected argument %q", c.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// noSuchCommand is the argument check of commands that only hold others: an
// argument that gets here named no subcommand.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	msg := fmt.Sprintf("%s has no command %q", c.CommandPath(), args[0])
	if c.SuggestionsMinimumDistance <= 0 {
		c.SuggestionsMinimumDistance = 2
	}
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		return Usagef("%s: did you mean %s?", msg, strings.Join(like, " or "))
	}
	return Usagef("%s: see %q", msg, c.CommandPath()+" --help")
}

func needsSubcommand(c *cobra.Command, _ []string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return Usagef("%s needs a command: %s", c.CommandPath(), strings.Join(names, ", "))
}

// explainFlagError makes flag errors usage errors, and says why there is no
// flag for the token's value.
func explainFlagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedName() == "token" {
		return Usagef("there is no --token flag: arguments show in process lists and shell histories; " +
			"set MODELWARDEN_TOKEN or name a file with --token-file")
	}
	return Usagef("%s: %w: see %q", c.CommandPath(), err, c.CommandPath()+" --help")
}

// usageErrorsFromArgs makes the errors of every command's argument check
// usage errors, those of local commands included.
func usageErrorsFromArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			var exit *ExitError
			if err == nil || errors.As(err, &exit) {
				return err
			}
			return Usagef("%s: %w", c.CommandPath(), err)
		}
	}
	for _, child := range c.Commands() {
		usageErrorsFromArgs(child)
	}
}

// helpCommand replaces cobra's, which takes an unknown topic for success.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show help about a command",
		Example: "  modelwarden help review ack",
		GroupID: groupOthers,
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil {
				return Usagef("%w", err)
			}
			if len(rest) > 0 {
				return noSuchCommand(about, rest)
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			about, _, err := c.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return subcommandNames(about), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func subcommandNames(c *cobra.Command) []string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name()+"\t"+sub.Short)
		}
	}
	slices.Sort(names)
	return names
}
