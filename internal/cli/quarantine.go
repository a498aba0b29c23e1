package cli

import (
	"context"
	"maps"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// quarantinedDoc is what is printed of one quarantined message.
type quarantinedDoc struct {
	lineage.Quarantined
	Body     string `json:"body"`
	Encoding string `json:"encoding"`
}

func (p *program) quarantineCommand() *cobra.Command {
	suggest := p.completeFrom(suggestion{path: "quarantine", field: "id", describe: "reason"})
	list := listCommand(p, listing[quarantinedDoc]{
		use: "list", short: "List what was accepted and not understood, the newest first",
		example: "  modelwarden quarantine list\n  modelwarden quarantine list --reason foreign_source --since 1d -o tsv",
		path:    "quarantine", columns: quarantineColumns,
		filters: append([]filter{{flag: "reason", param: "reason", usage: "only with this `REASON`"}}, filterWindow()...),
	})
	show := showCommand(p, showing[quarantinedDoc]{
		use: "show ID", argument: "ID", short: "Show one quarantined message: what is wrong with it, and its body",
		example: "  modelwarden quarantine show 4jx2m7v3qk2c6w4x2y5z7a2b3c@2026-03-01",
		path:    idPath("quarantine/"), page: quarantinePage, completes: suggest,
	})
	replays := verbCommand(p, verb{
		use: "replay", argument: "ID", short: "Send quarantined messages through the queue again",
		long: `Send quarantined messages through the queue again: after a new version can read
them, or a workspace was given an alias. They stay in quarantine as well.`,
		example:   "  modelwarden quarantine replay 4jx2m7v3qk2c6w4x2y5z7a2b3c@2026-03-01",
		completes: suggest,
		do: func(ctx context.Context, c *client, id string) (string, error) {
			return replay(ctx, c, "quarantine/"+url.PathEscape(id)+"/replay", id, nil)
		},
	})
	return group("quarantine", "Look at what was not understood, and replay it",
		"What arrives and can't be understood is kept here with the reason. Nothing that\nwas accepted is thrown away.", list, show, replays)
}

func quarantineColumns(o *output) []column[quarantinedDoc] {
	return []column[quarantinedDoc]{
		{"id", func(q quarantinedDoc) cell { return text(q.ID) }},
		{"reason", func(q quarantinedDoc) cell { return text(q.Reason) }},
		{"received", func(q quarantinedDoc) cell { return o.when(q.Received) }},
		{"size", func(q quarantinedDoc) cell { return number(q.Size) }},
		{"replayed", func(q quarantinedDoc) cell { return o.when(q.Replayed) }},
		{"detail", func(q quarantinedDoc) cell { return prose(q.Detail) }},
	}
}

func quarantinePage(o *output, q quarantinedDoc) error {
	facts := []fact{
		{"id", text(q.ID)},
		{"reason", text(q.Reason)},
		{"detail", text(q.Detail)},
		{"received", o.when(q.Received)},
		{"replayed", o.when(q.Replayed)},
	}
	facts = append(facts, propertyFacts(q.Properties)...)
	return o.facts(append(facts, bodyFacts(q.Size, q.Body, q.Encoding)...))
}

// propertyFacts are the properties that a message travelled with.
func propertyFacts(properties map[string]string) []fact {
	var facts []fact
	for _, k := range slices.Sorted(maps.Keys(properties)) {
		facts = append(facts, fact{"property", text(k + "=" + properties[k])})
	}
	return facts
}
