package cli_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/cli"
)

// now is the time in every script, so that ages are the same every day.
var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// TestMain makes `modelwarden` a command of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"modelwarden": modelwarden})
}

// modelwarden runs the commands in a process of their own. It leaves the exit
// code where the script's `exits` finds it.
func modelwarden() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	root := cli.New(cli.Options{
		Version: "v1.2.3", Now: func() time.Time { return now }, Local: localCommands(),
	})
	code := cli.Execute(ctx, root, os.Args[1:])
	stop()
	if err := os.WriteFile(filepath.Join(os.Getenv("WORK"), "exit"), []byte(strconv.Itoa(code)), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// localCommands stand for those of the app.
func localCommands() []*cobra.Command {
	policy := &cobra.Command{Use: "policy", Short: "Test policies"}
	policy.AddCommand(&cobra.Command{
		Use: "test FILE", Short: "Explain a decision", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			c.Println("tested", args[0])
			return &cli.ExitError{Code: cli.ExitGate}
		},
	})
	version := &cobra.Command{Use: "version"}
	version.AddCommand(&cobra.Command{
		Use: "schema", Short: "Print the version of the stored format",
		Run: func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "7") },
	})
	return []*cobra.Command{policy, version}
}

// TestScripts runs testdata/*.txt. Each script brings the answers of its
// server in a file api.http (see fakeServer) and finds what was asked in a
// file requests.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("USER", "ana")
			// Under -race every process would sleep a second before it ends.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("WORK", env.WorkDir)
			server, err := startFakeServer(env.WorkDir)
			if err != nil {
				return err
			}
			env.Defer(server.Close)
			env.Setenv("MODELWARDEN_SERVER", server.URL)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "asked": asked,
		},
	})
}

// exits checks the exit code of the last command: exits 2.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: exits CODE")
	}
	if got := ts.ReadFile("exit"); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// asked checks what the server was asked since the last check: asked FILE.
func asked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: asked FILE")
	}
	log := ts.MkAbs("requests")
	got, err := os.ReadFile(log)
	if err != nil {
		ts.Fatalf("nothing was asked: %v", err)
	}
	ts.Check(os.Remove(log))
	if want := ts.ReadFile(args[0]); string(got) != want {
		ts.Fatalf("the server was asked\n%s\nwant\n%s", got, want)
	}
}
