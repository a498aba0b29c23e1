package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Commands are those that run without a server: serve, demo, check, init,
// backup and policy test.
func Commands(version string, getenv func(string) string) []*cobra.Command {
	c := &commands{version: version, getenv: getenv}
	return []*cobra.Command{c.serve(), c.demo(), c.check(), c.init(), c.backup(), c.policy()}
}

type commands struct {
	version string
	getenv  func(string) string
}

// settings are the flags that override the configuration.
type settings struct {
	config string
	o      Overrides
}

func (s *settings) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.config, "config", "c", "", "configuration `file` (YAML; a file with only policies will do) [MODELWARDEN_CONFIG]")
	f.StringVar(&s.o.Data, "data", "", "`folder` of the embedded store (default modelwarden-data)")
	f.StringVar(&s.o.Listen, "listen", "", "`address` of the HTTP server (default 127.0.0.1:8080)")
	f.StringSliceVar(&s.o.Roles, "roles", nil, "what this process does: subscriber,worker,web (default all)")
	f.StringVar(&s.o.LogLevel, "log-level", "", "debug, info, warn or error (default info)")
	f.StringVar(&s.o.LogFormat, "log-format", "", "json, or console for people (default json)")
}

func (c *commands) load(s *settings) (*Config, error) {
	if s.config == "" {
		s.config = c.getenv("MODELWARDEN_CONFIG")
	}
	return Load(s.config, c.getenv, s.o)
}

func (c *commands) serve() *cobra.Command {
	var s settings
	var addressFile string
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the service", Args: cobra.NoArgs,
		Long: `Run the service: take events in, keep the lineage, decide and act.

Without a configuration it keeps everything in one SQLite file and listens on
loopback. SIGHUP, or a change of a policy file, loads policies again; SIGTERM
finishes what is in hand and stops.`,
		Example: "  modelwarden serve\n  modelwarden serve --config modelwarden.yaml --data /var/lib/modelwarden --log-format console",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(&s)
			if err != nil {
				return err
			}
			return c.run(cmd, cfg, &s, addressFile)
		},
	}
	s.bind(cmd)
	cmd.Flags().StringVar(&addressFile, "address-file", "", "write the bound address to this `file` once listening (for --listen with port 0)")
	return cmd
}

// memoryLimit is where the garbage collector begins to work harder, in bytes:
// the live heap under load is less than half of it. GOMEMLIMIT sets another.
const memoryLimit = 88 << 20

func (c *commands) run(cmd *cobra.Command, cfg *Config, s *settings, addressFile string) error {
	if c.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	log, err := NewLogger(cfg.Log, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	current := cfg
	a, err := New(ctx, Options{
		Config: cfg, Logger: log, Version: c.version, Getenv: c.getenv, Hangup: hangup,
		Reload: func() (*Config, error) {
			next, err := c.load(s)
			if err == nil {
				current = next
			}
			return next, err
		},
		Files: func() []string { return filesOf(s.config, current) },
	})
	if err != nil {
		return err
	}
	if addressFile != "" {
		if err := writeAddress(addressFile, a.URL()); err != nil {
			return errors.Join(err, a.close())
		}
	}
	return a.Run(ctx)
}

// writeAddress makes the file appear with its content.
func writeAddress(file, address string) error {
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, []byte(address+"\n"), 0o600); err != nil {
		return fmt.Errorf("address file: %w", err)
	}
	return os.Rename(tmp, file)
}

// filesOf are the files whose change means new policies.
func filesOf(config string, c *Config) []string {
	if config == "" {
		return nil
	}
	files := []string{config}
	for _, name := range c.PolicyFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(config), name)
		}
		files = append(files, name)
	}
	return files
}

func (c *commands) check() *cobra.Command {
	var s settings
	var connect bool
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Check a configuration and its policies", Args: cobra.MaximumNArgs(1),
		Long: `Check a configuration: every problem is named with file, line and column.
With --connect it also tries what the configuration depends on, with the rights
that the service needs there: the data folder, the address, the key servers of
Entra ID, Service Bus, Cosmos DB, Event Grid and Azure Machine Learning. What is missing is named, a
role that has to be assigned too.`,
		Example: "  modelwarden check modelwarden.yaml\n  modelwarden check --connect --config modelwarden.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.config = args[0]
			}
			return c.runCheck(cmd, &s, connect)
		},
	}
	s.bind(cmd)
	cmd.Flags().BoolVar(&connect, "connect", false, "also try each dependency")
	return cmd
}

func (c *commands) runCheck(cmd *cobra.Command, s *settings, connect bool) error {
	cfg, err := c.load(s)
	var problems policy.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), p.Error())
		}
		return fmt.Errorf("problems found: %d", len(problems))
	}
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	secrets := &absentSecrets{getenv: c.getenv, config: cfg}
	_, err = newAccess(cfg, secrets.get)
	switch {
	case errors.Is(err, os.ErrNotExist):
		_, _ = fmt.Fprintln(out, "warning:", err)
	case err != nil:
		return err
	}
	set, err := policy.Compile(&cfg.File, policy.CompileOptions{})
	if err != nil {
		return err
	}
	if err := checkTargets(cfg, secrets, out); err != nil {
		return err
	}
	if connect {
		if err := tryDependencies(cmd.Context(), cfg, c.getenv, out); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(out, "ok: %d policies, %d targets, mode %s, hash %s\n", len(cfg.Policies), len(cfg.Targets), cfg.Mode, set.Hash())
	return nil
}

// checkTargets builds what the targets need, and warns of what would fail when
// the service runs.
func checkTargets(cfg *Config, secrets *absentSecrets, out io.Writer) error {
	warn := func(what any) { _, _ = fmt.Fprintln(out, "warning:", what) }
	if len(cfg.AzureML.Workspaces) == 0 {
		for _, name := range effect.NeedAzureML(cfg.Targets) {
			warn("targets." + name + ": acts in Azure Machine Learning, and azureML.workspaces names no workspace: actions on it will fail")
		}
	}
	deps := effect.Deps{LookupEnv: lookup(secrets.get), SandboxURL: "http://127.0.0.1:1/"}
	_, err := effect.New(cfg.Targets, deps)
	_, tickets := effect.NewTicketers(cfg.Targets, deps)
	err = errors.Join(err, tickets)
	switch {
	case errors.Is(err, os.ErrNotExist):
		warn(err)
	case err != nil:
		return err
	}
	for _, name := range secrets.missing {
		warn("the environment variable " + name + " is not set here; the service will need it")
	}
	return nil
}

// absentSecrets stands in for secrets that are not set where a file is only
// checked, and remembers which.
type absentSecrets struct {
	getenv  func(string) string
	config  *Config
	missing []string
}

func (a *absentSecrets) get(name string) string {
	v := a.getenv(name)
	if v != "" || !a.named(name) {
		return v
	}
	if !slices.Contains(a.missing, name) {
		a.missing = append(a.missing, name)
	}
	if a.address(name) {
		return "https://not-set-here.example/"
	}
	return "whsec_bm90LXRoZS1yZWFsLXNlY3JldC1qdXN0LWNoZWNraW5n"
}

// address says whether the variable holds an address.
func (a *absentSecrets) address(name string) bool {
	for _, t := range a.config.Targets {
		if t.Teams != nil && t.Teams.TokenEnv == name {
			return true
		}
	}
	return false
}

// named says whether the configuration asks for the variable.
func (a *absentSecrets) named(name string) bool {
	names := []string{a.config.Auth.SecretEnv, a.config.Auth.PreviousSecretEnv, a.config.API.TokenEnv, a.config.API.PreviousTokenEnv}
	for _, t := range a.config.Targets {
		if t.Webhook != nil {
			names = append(names, t.Webhook.SecretEnv)
		}
		if token := t.Token(); token != nil {
			names = append(names, token.TokenEnv)
		}
		if callback := t.Callback(); callback != nil {
			names = append(names, callback.CallbackSecretEnv)
		}
	}
	return name != "" && slices.Contains(names, name)
}

func (c *commands) init() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: "init", Short: "Create the store, and a first policy file, where they are missing", Args: cobra.NoArgs,
		Long: `Create what the service needs where it is missing: the data folder with its
store, or the database and container in Cosmos DB where the credential may
(where it may not, init says what to create); and, when --config names a file
that does not exist, that file with a first policy to start from.`,
		Example: "  modelwarden init --data /var/lib/modelwarden\n  modelwarden init --config modelwarden.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runInit(cmd, &s) },
	}
	s.bind(cmd)
	return cmd
}

func (c *commands) runInit(cmd *cobra.Command, s *settings) error {
	out := cmd.OutOrStdout()
	if s.config != "" {
		if _, err := os.Stat(s.config); errors.Is(err, os.ErrNotExist) {
			if err := os.WriteFile(s.config, firstPolicies, 0o644); err != nil {
				return fmt.Errorf("policy file: %w", err)
			}
			_, _ = fmt.Fprintln(out, "wrote", s.config, "- a first policy to start from")
		}
	}
	cfg, err := c.load(s)
	if err != nil {
		return err
	}
	if err := c.provision(cmd.Context(), cfg, out); err != nil {
		return err
	}
	if cfg.allInAzure() {
		return nil
	}
	db, err := embedded.Open(cmd.Context(), embedded.Options{Dir: cfg.Data})
	if errors.Is(err, embedded.ErrInUse) {
		_, _ = fmt.Fprintln(out, "the store in", cfg.Data, "is in use by a running service: nothing to create there")
		return nil
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "the store in", cfg.Data, "is ready")
	return db.Close()
}

func (c *commands) backup() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Copy the embedded store into one file", Args: cobra.ExactArgs(1),
		Long: `Copy the embedded store into one consistent file. While a service uses the
folder, the copy is taken beside it without stopping it; an existing file is
never overwritten. To restore, put the file into an empty data folder as
modelwarden.db.`,
		Example: "  modelwarden backup --data /var/lib/modelwarden /backups/modelwarden-2026-11-02.db",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load(&s)
			if err != nil {
				return err
			}
			return runBackup(cmd.Context(), cfg.Data, args[0], cmd.ErrOrStderr(), cmd.OutOrStdout())
		},
	}
	s.bind(cmd)
	return cmd
}

func runBackup(ctx context.Context, dir, file string, progress, out io.Writer) error {
	report := func(done, total int) {
		if isTerminal(progress) && total > 0 {
			_, _ = fmt.Fprintf(progress, "\r%3d%%", done*100/total)
		}
	}
	if err := embedded.Backup(ctx, dir, file, report); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s: %d bytes\n", file, info.Size())
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// quiet is a logger that says nothing.
func quiet() *zap.Logger { return zap.NewNop() }
