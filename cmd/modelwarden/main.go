// Command modelwarden keeps Azure Machine Learning models accountable after
// they ship. Everything it does is in internal/app and internal/cli; here are
// only arguments, signals and the exit code.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/modelwarden/modelwarden/internal/app"
	"github.com/modelwarden/modelwarden/internal/cli"
)

// version is set at link time for releases.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	root := cli.New(cli.Options{Version: version, Local: app.Commands(version, os.Getenv)})
	code := cli.Execute(ctx, root, os.Args[1:])
	stop()
	os.Exit(code)
}
