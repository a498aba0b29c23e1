package app_test

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/modelwarden/modelwarden/internal/app"
	"github.com/modelwarden/modelwarden/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"modelwarden": func() {
		root := cli.New(cli.Options{Version: "test", Local: app.Commands("test", os.Getenv)})
		os.Exit(cli.Execute(context.Background(), root, os.Args[1:]))
	}})
}

// TestCommands runs the commands that need no server, as readable scripts.
func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}
