package cli

import (
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what this program was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versionCommand() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use: "version", Short: "Print version, commit, Go version and platform",
		Example: "  modelwarden version\n  modelwarden version -o json",
		Args:    arguments(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	out.flags(c)
	c.RunE = func(*cobra.Command, []string) error {
		if err := out.open(p); err != nil {
			return err
		}
		raw, err := json.Marshal(buildOf(p.Version))
		if err != nil {
			return err
		}
		return show(&out, raw, func(b build) error { return buildPage(&out, b) })
	}
	return c
}

func buildOf(version string) build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	return b
}

func buildPage(o *output, b build) error {
	commit := text(b.Commit)
	if b.Modified {
		commit.human += " (modified)"
	}
	return o.facts([]fact{
		{"version", text(b.Version)},
		{"commit", commit},
		{"go", text(b.Go)},
		{"platform", text(b.Platform)},
	})
}
