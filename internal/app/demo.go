package app

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

//go:embed demo-policies.yaml
var demoPolicies []byte

// demoFlags are what `demo` can be told.
type demoFlags struct {
	exit         bool
	listen, data string
	verbose      bool
}

func (c *commands) demo() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use: "demo", Short: "Play one story end to end, on a simulated workspace", Args: cobra.NoArgs,
		Long: `Start the whole service on a temporary folder beside a simulated Azure ML
workspace, and play one story: a model is trained, deployed and monitored, its
data drifts, a policy retrains it once although every event comes three times,
and the new version passes. It takes less than a minute, then stays up for you
to look around; Ctrl-C ends it and removes the folder.`,
		Example: "  modelwarden demo\n  modelwarden demo --exit",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runDemo(cmd, f) },
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.exit, "exit", false, "leave when the story is told")
	fl.StringVar(&f.listen, "listen", "", "`address` of the HTTP server (default 127.0.0.1:8080, or a free port when that is taken)")
	fl.StringVar(&f.data, "data", "", "keep the data in this `folder` (default a temporary one)")
	fl.BoolVar(&f.verbose, "verbose", false, "show the service's log, too")
	return cmd
}

// demoStage is everything that the story needs, running.
type demoStage struct {
	app       *App
	workspace *sandbox.Workspace
	arm       *http.Server
	armURL    string
	folder    string
	keep      bool
	stopped   chan error
	stop      context.CancelFunc
}

func (c *commands) runDemo(cmd *cobra.Command, f demoFlags) (err error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	st, err := c.stageDemo(ctx, cmd.ErrOrStderr(), f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	n := &narrator{out: cmd.OutOrStdout(), began: time.Now(), url: st.app.URL()}
	if err := tellStory(ctx, st, n); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if f.exit {
		return nil
	}
	n.line("")
	n.line("The service stays up. Look around, or press Ctrl-C to end it.")
	select {
	case <-ctx.Done():
		return nil
	case err := <-st.stopped:
		st.stopped <- nil
		return err
	}
}

// stageDemo starts the workspace's HTTP server, the service, and the delivery
// of events from the one to the other.
func (c *commands) stageDemo(ctx context.Context, errOut io.Writer, f demoFlags) (st *demoStage, err error) {
	st = &demoStage{folder: f.data, keep: f.data != "", stopped: make(chan error, 1), stop: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close())
		}
	}()
	if st.folder == "" {
		if st.folder, err = os.MkdirTemp("", "modelwarden-demo"); err != nil {
			return st, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return st, err
	}
	st.armURL = "http://" + l.Addr().String()
	st.workspace = demoWorkspace(st.armURL)
	st.arm = &http.Server{Handler: st.workspace.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = st.arm.Serve(l) }()
	if err := c.startDemoApp(ctx, st, errOut, f); err != nil {
		return st, err
	}
	if err := st.workspace.Start(); err != nil {
		return st, err
	}
	return st, st.workspace.Subscribe(sandbox.Subscription{
		URL: st.app.URL() + "/events", Copies: 3, Shuffle: 6, BatchEvents: 10,
	})
}

// demoTrainTime is how long the simulated training takes.
const demoTrainTime = 3 * time.Second

func demoWorkspace(url string) *sandbox.Workspace {
	return sandbox.New(sandbox.Options{
		Name: "contoso-ml", ResourceGroup: "rg-risk-prod", Seed: 7, TrainTime: demoTrainTime, PublicURL: url,
		Training: []sandbox.Training{{Component: "train_churn", Model: "churn", Data: "churn-data",
			Endpoint: "churn-ep", Deployment: "blue", Tags: map[string]string{"owner": "risk-ml"}}},
	})
}

func (c *commands) startDemoApp(ctx context.Context, st *demoStage, errOut io.Writer, f demoFlags) error {
	policies := filepath.Join(st.folder, "policies.yaml")
	if err := os.WriteFile(policies, demoPolicies, 0o600); err != nil {
		return err
	}
	cfg, err := Load(policies, func(string) string { return "" }, Overrides{Listen: f.listen, Data: filepath.Join(st.folder, "data")})
	if err != nil {
		return err
	}
	cfg.Log.Format = "console"
	cfg.AzureML.Endpoint, cfg.AzureML.Workspaces = st.armURL, []string{st.workspace.ID()}
	log := quiet()
	if f.verbose {
		if log, err = NewLogger(cfg.Log, errOut); err != nil {
			return err
		}
	}
	o := Options{Config: cfg, Logger: log, Version: c.version, Getenv: func(string) string { return "" }, SandboxURL: st.armURL + st.workspace.ID()}
	a, err := New(ctx, o)
	if errors.Is(err, syscall.EADDRINUSE) && f.listen == "" {
		log.Info("the usual port is taken; using a free one", zap.Error(err))
		cfg.Listen = "127.0.0.1:0"
		a, err = New(ctx, o)
	}
	if err != nil {
		return err
	}
	st.app = a
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	st.stop = cancel
	go func() { st.stopped <- a.Run(run) }()
	return nil
}

// close ends everything in the order that loses nothing, and removes the
// temporary folder.
func (st *demoStage) close() error {
	var errs []error
	if st.workspace != nil {
		errs = append(errs, st.workspace.Close())
	}
	if st.app != nil {
		st.stop()
		errs = append(errs, <-st.stopped)
	}
	if st.arm != nil {
		errs = append(errs, st.arm.Close())
	}
	if st.folder != "" && !st.keep {
		errs = append(errs, os.RemoveAll(st.folder))
	}
	return errors.Join(errs...)
}
