// Command local is Azure on a developer's machine, as far as Modelwarden uses
// it: Service Bus, Cosmos DB and Event Grid in one process, in memory, on
// loopback, until Ctrl-C. Nothing is kept.
//
//	go run ./test/azure/local
//
// prints lines like
//
//	export MODELWARDEN_COSMOS_ENDPOINT='http://127.0.0.1:8081/'
//
// to be pasted into the shell that runs modelwarden serve; they stay the same
// from start to start while the ports do. -json FILE also writes them as one
// JSON object as soon as the servers answer, for scripts.
//
// Event Grid has a certificate of its own: SSL_CERT_FILE names it for Go
// programs, NODE_EXTRA_CA_CERTS for Node. Some other programs trust nothing
// else where SSL_CERT_FILE is set, so keep that shell for modelwarden.
// Events that are published to EVENTGRID_TOPIC_ENDPOINT in the Event Grid
// schema arrive in the queue as events of the workspace contoso-ml; those that
// are published to the topic "modelwarden" of MODELWARDEN_PULL_ENDPOINT wait
// there to be pulled.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/modelwarden/modelwarden/test/azure/local/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

// run starts the servers, says where they are and waits for the end of ctx.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	var o stack.Options
	flags.StringVar(&o.ServiceBus, "servicebus", "127.0.0.1:5672", "`address` of Service Bus; port 0 is a free one")
	flags.StringVar(&o.Cosmos, "cosmos", "127.0.0.1:8081", "`address` of Cosmos DB")
	flags.StringVar(&o.EventGrid, "eventgrid", "127.0.0.1:8443", "`address` of Event Grid, topic and namespace")
	file := flags.String("json", "", "also write the environment to this `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := stack.Start(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	certificate, err := saveCertificate(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(certificate)) }()
	env := s.Environment()
	env["SSL_CERT_FILE"], env["NODE_EXTRA_CA_CERTS"] = certificate, certificate
	if err := tell(env, out, *file); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// saveCertificate writes Event Grid's certificate to a file whose name depends
// on the address only.
func saveCertificate(s *stack.Stack) (file string, err error) {
	_, port, _ := strings.Cut(strings.TrimPrefix(s.Environment()["MODELWARDEN_PULL_ENDPOINT"], "https://"), ":")
	file = filepath.Join(os.TempDir(), "modelwarden-local-azure-"+port+".pem")
	return file, replace(file, s.Certificate())
}

// tell saves the environment for programs when file is not "", then prints it
// for shells.
func tell(env map[string]string, out io.Writer, file string) error {
	if file != "" {
		b, err := json.MarshalIndent(env, "", "  ")
		if err != nil {
			return err
		}
		if err := replace(file, append(b, '\n')); err != nil {
			return err
		}
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&text, "export %s='%s'\n", name, env[name])
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// replace writes a file that is complete whenever it is there. It follows no
// link that somebody else may have put in the file's place.
func replace(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file))
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
