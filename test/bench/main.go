// Command bench measures every claim about speed in one run on one machine,
// as ratios beside named baselines:
//
//	go run ./test/bench                    everything, below six minutes
//	go run ./test/bench -sections accept   one section
//	go run ./test/bench -scale 0.2         everything, shorter and rougher
//	go run ./test/bench -json FILE -strict for machines; 1 when a target is missed
//
// All servers are processes of their own, so that each shares the cores with
// the load generator alike. Absolute numbers are of the machine and its mood;
// the ratios are the claim.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == baselineCommand {
		exit(runBaseline(os.Args[2:]))
	}
	o := flags()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	missed, err := run(ctx, o)
	stop()
	exit(err)
	if o.strict && missed > 0 {
		os.Exit(1)
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
}

// settings are the command's flags.
type settings struct {
	sections, json, binary, dir string
	scale                       float64
	rounds                      int
	strict                      bool
}

func flags() settings {
	var o settings
	flag.StringVar(&o.sections, "sections", "accept,pipeline,decide,latency,footprint,azure", "what to measure, separated by commas")
	flag.StringVar(&o.json, "json", "", "also write the report to this `file`")
	flag.StringVar(&o.binary, "binary", "", "measure this modelwarden `file` instead of building one")
	flag.StringVar(&o.dir, "dir", "", "`folder` for databases, on the disk to be measured (default the system's for temporary files)")
	flag.Float64Var(&o.scale, "scale", 1, "scale of durations and numbers of events; below 1 is shorter and rougher")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of which the median is reported")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 when a target is missed")
	flag.Parse()
	return o
}

// bench is one run.
type bench struct {
	settings
	self   string // this program
	report *report
	// capacity is what the pipeline section found, in events per second.
	capacity float64
	folders  int
}

var sections = []struct {
	name    string
	measure func(*bench, context.Context) error
}{
	{"accept", (*bench).accept},
	{"pipeline", (*bench).pipeline},
	{"decide", (*bench).decide},
	{"latency", (*bench).latency},
	{"footprint", (*bench).footprint},
	{"azure", (*bench).azure},
}

// run measures the sections asked for and prints the report, also of a run
// that ended early. missed is the number of targets missed.
func run(ctx context.Context, o settings) (missed int, err error) {
	b := &bench{settings: o, report: newReport()}
	wanted, err := b.wanted()
	if err != nil {
		return 0, err
	}
	if b.self, err = os.Executable(); err != nil {
		return 0, err
	}
	if b.dir, err = os.MkdirTemp(o.dir, "modelwarden-bench"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.binary == "" {
		if b.binary, err = b.build(ctx); err != nil {
			return 0, err
		}
	}
	for _, s := range sections {
		if slices.Contains(wanted, s.name) && err == nil {
			if err = s.measure(b, ctx); err != nil {
				err = fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return b.report.missed(), errors.Join(err, b.finish())
}

// wanted are the sections asked for, each a known one.
func (b *bench) wanted() ([]string, error) {
	var known []string
	for _, s := range sections {
		known = append(known, s.name)
	}
	wanted := strings.Split(b.sections, ",")
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("no section %q: want some of %s", w, strings.Join(known, ","))
		}
	}
	return wanted, nil
}

func (b *bench) finish() error {
	b.report.Seconds = time.Since(b.report.Started).Seconds()
	if err := b.report.print(os.Stdout); err != nil {
		return err
	}
	fmt.Printf("\n%d targets missed; %s, %d cores, %.0f s\n", b.report.missed(), b.report.OS, b.report.Cores, b.report.Seconds)
	if b.json == "" {
		return nil
	}
	return b.report.save(b.json)
}

// build makes the binary as it is released.
func (b *bench) build(ctx context.Context) (string, error) {
	b.say("building modelwarden")
	file := filepath.Join(b.dir, "modelwarden")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "github.com/modelwarden/modelwarden/cmd/modelwarden")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build modelwarden: %w", err)
	}
	return file, nil
}

// folder is a new place for one server's files.
func (b *bench) folder() string {
	b.folders++
	return filepath.Join(b.dir, fmt.Sprint("server-", b.folders))
}

// serve starts the product on dir.
func (b *bench) serve(ctx context.Context, dir string, args ...string) (*process, error) {
	return b.serveWith(ctx, nil, dir, args...)
}

func (b *bench) serveWith(ctx context.Context, env []string, dir string, args ...string) (*process, error) {
	return spawnWith(ctx, env, dir, b.binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data")}, args...)...)
}

// say tells on standard error what goes on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0fs  %s\n", time.Since(b.report.Started).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) duration(d time.Duration) time.Duration {
	return time.Duration(float64(d) * b.scale)
}

func (b *bench) count(n int) int { return max(1, int(float64(n)*b.scale)) }
