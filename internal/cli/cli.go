// Package cli holds the commands that talk to a Modelwarden server over its
// HTTP API, and the frame (flags, errors, exit codes, shell completion) that
// they share with the commands that run locally.
//
// Standard output carries what was asked for and nothing else; progress and
// errors go to standard error. What comes from the server is never written to
// a terminal without its control characters escaped.
package cli

import (
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// Options are what the commands need from outside. The zero value of each
// field has the meaning that its comment gives.
type Options struct {
	// Version is what `version` prints. Defaults to "devel".
	Version string
	// Stdin, Stdout and Stderr default to the process's own.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv defaults to os.Getenv.
	Getenv func(string) string
	// Now defaults to time.Now.
	Now func() time.Time
	// HTTPClient defaults to one that follows no redirect to another host;
	// every request has a deadline of its own.
	HTTPClient *http.Client
	// Local are commands that run without a server. One with the name of a
	// command of this package is merged with it: its subcommands are added.
	Local []*cobra.Command
}

func (o Options) withDefaults() Options {
	if o.Version == "" {
		o.Version = "devel"
	}
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HTTPClient == nil {
		o.HTTPClient = newHTTPClient()
	}
	return o
}

// program is what the commands of one invocation share.
type program struct {
	Options
	// server, tokenFile and timeout are the global flags.
	server, tokenFile string
	timeout           time.Duration
}

// Command groups of the top-level help.
const (
	groupLocal  = "local"
	groupLook   = "look"
	groupAct    = "act"
	groupOthers = "others"
)

// New builds the command tree. Run it with Execute.
func New(o Options) *cobra.Command {
	p := &program{Options: o.withDefaults()}
	root := &cobra.Command{
		Use:   "modelwarden",
		Short: "Follow machine-learning models from data to endpoint, and act when they drift",
		Long: `Modelwarden follows machine-learning models from data to endpoint and acts when
they drift: it takes in lifecycle events, keeps the lineage, decides by policy,
and starts retraining or opens a review.

The commands below talk to a server (modelwarden serve). They find it by
--server or MODELWARDEN_SERVER, and show it the token in MODELWARDEN_TOKEN or
in the file that --token-file names.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a gate did not pass,
130 interrupted.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSuchCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.SetFlagErrorFunc(explainFlagError)
	p.globalFlags(root)
	root.AddGroup(
		&cobra.Group{ID: groupLocal, Title: "Run and check:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupAct, Title: "Act:"},
		&cobra.Group{ID: groupOthers, Title: "Other commands:"},
	)
	p.addCommands(root)
	for _, c := range p.Local {
		merge(root, c)
	}
	root.SetCompletionCommandGroupID(groupOthers)
	root.SetHelpCommand(helpCommand())
	usageErrorsFromArgs(root)
	return root
}

func (p *program) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&p.server, "server", "", "`URL` of the server (default $MODELWARDEN_SERVER, else "+defaultServer+")")
	f.StringVar(&p.tokenFile, "token-file", "", "`FILE` that holds the access token (default: the token in $MODELWARDEN_TOKEN)")
	f.DurationVar(&p.timeout, "timeout", 30*time.Second, "wait at most this `DURATION` for one answer of the server")
	f.SortFlags = false
}

func (p *program) addCommands(root *cobra.Command) {
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupLook, p.statusCommand(), p.modelCommand(), p.assetCommand(), p.lineageCommand(), p.decisionCommand())
	add(groupAct, p.eventCommand(), p.actionCommand(), p.reviewCommand(), p.silenceCommand(), p.policyCommand(), p.backfillCommand(), p.deadCommand(), p.quarantineCommand())
	add(groupOthers, p.versionCommand())
}

// merge adds a local command, or its subcommands where there is a command of
// that name already.
func merge(parent, local *cobra.Command) {
	for _, have := range parent.Commands() {
		if have.Name() != local.Name() {
			continue
		}
		for _, child := range local.Commands() {
			local.RemoveCommand(child)
			merge(have, child)
		}
		if local.Runnable() {
			have.Run, have.RunE, have.Args = local.Run, local.RunE, local.Args
			have.Flags().AddFlagSet(local.Flags())
		}
		return
	}
	if local.GroupID == "" && !parent.HasParent() {
		local.GroupID = groupLocal
	}
	if local.HasSubCommands() && !local.Runnable() {
		local.Args, local.RunE = noSuchCommand, needsSubcommand
	}
	parent.AddCommand(local)
}

// group makes a command that only holds others.
func group(use, short, long string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Args: noSuchCommand, RunE: needsSubcommand}
	c.AddCommand(children...)
	return c
}
