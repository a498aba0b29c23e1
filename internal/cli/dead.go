package cli

import (
	"context"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// deadDoc is what is printed of one dead letter.
type deadDoc struct {
	ID          string            `json:"id"`
	MessageID   string            `json:"messageId"`
	Reason      string            `json:"reason"`
	Description string            `json:"description"`
	Attempts    int               `json:"attempts"`
	Enqueued    time.Time         `json:"enqueued"`
	Died        time.Time         `json:"died"`
	Properties  map[string]string `json:"properties"`
	Size        int               `json:"size"`
	Body        string            `json:"body"`
	Encoding    string            `json:"encoding"`
}

func (p *program) deadCommand() *cobra.Command {
	suggest := p.completeFrom(suggestion{path: "dead", field: "id", describe: "reason"})
	list := listCommand(p, listing[deadDoc]{
		use: "list", short: "List dead letters, the oldest first",
		example: "  modelwarden dead list\n  modelwarden dead list --limit 0 -o json",
		path:    "dead", columns: deadColumns,
	})
	show := showCommand(p, showing[deadDoc]{
		use: "show ID", argument: "ID", short: "Show one dead letter with its body",
		example: "  modelwarden dead show 17\n  modelwarden dead show 17 -o json",
		path:    idPath("dead/"), page: deadPage, completes: suggest,
	})
	discard := verbCommand(p, verb{
		use: "discard", argument: "ID", short: "Remove dead letters for good",
		long:    "Remove dead letters for good. There is no way back: look at them first, with\n\"dead show\".",
		example: "  modelwarden dead discard 17", completes: suggest,
		do: func(ctx context.Context, c *client, id string) (string, error) {
			return id + " is gone", c.delete(ctx, "dead/"+url.PathEscape(id))
		},
	})
	return group("dead", "Look at dead letters, replay or discard them",
		"Dead letters are messages that failed too often to be tried again by themselves.\nThey stay until somebody replays or discards them.",
		list, show, p.replayDead(suggest), discard)
}

func (p *program) replayDead(suggest completion) *cobra.Command {
	var body struct {
		Act bool `json:"act,omitempty"`
	}
	c := verbCommand(p, verb{
		use: "replay", argument: "ID", short: "Put dead letters back into the queue",
		long: `Put dead letters back into the queue. By default the replay is fenced: it
rebuilds lineage and can't retrain, page or roll back, because what the event
asked for may be long past. --act takes the fence away.`,
		example: `  modelwarden dead replay 17
  modelwarden dead replay 17 --act
  modelwarden dead list --limit 0 --no-headers -o tsv | cut -f1 | xargs modelwarden dead replay`,
		completes: suggest,
		do: func(ctx context.Context, c *client, id string) (string, error) {
			return replay(ctx, c, "dead/"+url.PathEscape(id)+"/replay", id, body)
		},
	})
	c.Flags().BoolVar(&body.Act, "act", false, "let policies act on the replayed events")
	return c
}

// replay asks for a replay and says whether it may act.
func replay(ctx context.Context, c *client, path, id string, body any) (string, error) {
	var out struct {
		Fenced bool `json:"fenced"`
	}
	if err := c.post(ctx, path, body, &out); err != nil {
		return "", err
	}
	if out.Fenced {
		return id + " is in the queue again, fenced: it may not act", nil
	}
	return id + " is in the queue again and may act", nil
}

func deadColumns(o *output) []column[deadDoc] {
	return []column[deadDoc]{
		{"id", func(d deadDoc) cell { return text(d.ID) }},
		{"reason", func(d deadDoc) cell { return text(d.Reason) }},
		{"attempts", func(d deadDoc) cell { return number(d.Attempts) }},
		{"died", func(d deadDoc) cell { return o.when(d.Died) }},
		{"size", func(d deadDoc) cell { return number(d.Size) }},
		{"message", func(d deadDoc) cell { return text(d.MessageID) }},
		{"description", func(d deadDoc) cell { return prose(d.Description) }},
	}
}

func deadPage(o *output, d deadDoc) error {
	facts := []fact{
		{"dead letter", text(d.ID)},
		{"reason", text(d.Reason)},
		{"description", text(d.Description)},
		{"attempts", number(d.Attempts)},
		{"queued", o.when(d.Enqueued)},
		{"died", o.when(d.Died)},
		{"message", text(d.MessageID)},
	}
	facts = append(facts, propertyFacts(d.Properties)...)
	return o.facts(append(facts, bodyFacts(d.Size, d.Body, d.Encoding)...))
}

// bodyColumns is how much of a body a page shows; -o json has all of it.
const bodyColumns = 2000

func bodyFacts(size int, body, encoding string) []fact {
	c := text(body)
	c.human = clip(printable(body), bodyColumns)
	return []fact{{"size", number(size)}, {"encoding", text(encoding)}, {"body", c}}
}
