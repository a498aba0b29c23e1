package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

func (c *commands) policy() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Work on policies"}
	cmd.AddCommand(c.policyTest(), c.policySchema())
	return cmd
}

func (c *commands) policySchema() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of policy files", Args: cobra.NoArgs,
		Example: "  modelwarden policy schema > modelwarden.schema.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(policy.Schema())
			return err
		},
	}
}

// policyTestFlags are what `policy test` is told about the world.
type policyTestFlags struct {
	sample, output string
	at             string
	metrics        map[string]string
}

func (c *commands) policyTest() *cobra.Command {
	var f policyTestFlags
	cmd := &cobra.Command{
		Use: "test FILE --event SAMPLE", Short: "Explain what policies make of an event", Args: cobra.ExactArgs(1),
		Long: `Explain, step by step, what each policy in FILE makes of the events in SAMPLE:
whether it is concerned, what its condition saw, which limits held an action.
SAMPLE is anything that can be posted: one event or an array, either schema, or
an Azure Monitor alert. Nothing is stored and nothing is done; the decision is
that of an installation that has seen nothing before.`,
		Example: "  modelwarden policy test policies.yaml --event breach.json\n  modelwarden policy test policies.yaml --event - --metric accuracy=0.71 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.runPolicyTest(cmd, args[0], f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.sample, "event", "", "`file` with the event, - for standard input")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	fl.StringVar(&f.at, "at", "", "decide as of this `time` (RFC 3339; default the event's own)")
	fl.StringToStringVar(&f.metrics, "metric", nil, "a metric of the run, `name=value`; may be repeated")
	_ = cmd.MarkFlagRequired("event")
	return cmd
}

func (c *commands) runPolicyTest(cmd *cobra.Command, file string, f policyTestFlags) error {
	if f.output != "text" && f.output != "json" {
		return fmt.Errorf("output %q: want text or json", f.output)
	}
	cfg, err := Load(file, c.getenv, Overrides{})
	if err != nil {
		return err
	}
	set, err := policy.Compile(&cfg.File, policy.CompileOptions{})
	if err != nil {
		return err
	}
	events, err := readSample(f.sample, cmd.InOrStdin(), cfg.Events.options())
	if err != nil {
		return err
	}
	metrics, err := numbers(f.metrics)
	if err != nil {
		return err
	}
	var all []policy.Explanation
	for _, ev := range events {
		now := ev.Time
		if f.at != "" {
			if now, err = time.Parse(time.RFC3339, f.at); err != nil {
				return fmt.Errorf("at: %q is not a time such as 2026-11-02T09:14:07Z", f.at)
			}
		}
		all = append(all, set.Explain(ev, viewOf(ev, metrics), now))
	}
	return writeExplanations(cmd.OutOrStdout(), f.output, all)
}

func writeExplanations(out io.Writer, format string, all []policy.Explanation) error {
	if format == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	for i, e := range all {
		if i > 0 {
			_, _ = fmt.Fprintln(out)
		}
		if _, err := io.WriteString(out, e.Text()); err != nil {
			return err
		}
	}
	return nil
}

// viewOf is what is known of an event where nothing was seen before.
func viewOf(ev *event.Event, metrics map[string]float64) policy.View {
	v := policy.View{Asset: string(lineage.PrimaryAsset(ev)), Model: string(lineage.ModelOf(ev)), Metrics: metrics}
	if m := ev.Model; m != nil {
		v.ModelFields = map[string]any{"name": m.Name, "version": m.Version, "stage": "candidate", "tags": stringsToAny(m.Tags), "properties": stringsToAny(m.Properties)}
	}
	return v
}

func stringsToAny(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, s := range m {
		out[k] = s
	}
	return out
}

func numbers(in map[string]string) (map[string]float64, error) {
	out := map[string]float64{}
	for k, s := range in {
		var v float64
		if _, err := fmt.Sscan(s, &v); err != nil {
			return nil, fmt.Errorf("metric %s: %q is not a number", k, s)
		}
		out[k] = v
	}
	return out, nil
}

// maxSample bounds the sample file, in bytes.
const maxSample = 8 << 20

// readSample reads events the way the subscriber and the worker do.
func readSample(file string, stdin io.Reader, o event.Options) ([]*event.Event, error) {
	body, err := sampleBytes(file, stdin)
	if err != nil {
		return nil, err
	}
	parser, err := event.NewParser(o)
	if err != nil {
		return nil, err
	}
	items, err := event.Split("", nil, body)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", file, err)
	}
	var out []*event.Event
	for i, it := range items {
		if it.Problem != nil {
			return nil, fmt.Errorf("event %s, number %d: %w: it would go to quarantine", file, i+1, it.Problem)
		}
		ev, err := parser.Parse(it.Envelope)
		if err != nil {
			return nil, fmt.Errorf("event %s, number %d: %w: it would go to quarantine", file, i+1, err)
		}
		out = append(out, ev)
	}
	if len(out) == 0 {
		return nil, errors.New("the sample holds no event")
	}
	return out, nil
}

func sampleBytes(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(stdin, maxSample))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxSample))
}
