package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// QuarantineInput selects quarantined messages.
type QuarantineInput struct {
	Reason string `query:"reason" maxLength:"64" doc:"Only this reason" example:"foreign_source"`
	Window
	Paging
}

// QuarantinedInput names a quarantined message.
type QuarantinedInput struct {
	ID string `path:"id" doc:"Its id, <digest>@<day>"`
}

// QuarantinedDetail is a quarantined message with its whole body.
type QuarantinedDetail struct {
	lineage.Quarantined
	Content
}

// Content is a body of any bytes.
type Content struct {
	Body     string `json:"body" doc:"The whole body"`
	Encoding string `json:"encoding" enum:"text,base64" doc:"How body is written"`
}

func contentOf(body []byte) Content {
	if utf8.Valid(body) {
		return Content{Body: string(body), Encoding: "text"}
	}
	return Content{Body: base64.StdEncoding.EncodeToString(body), Encoding: "base64"}
}

func (s *server) quarantineRoutes(a huma.API) {
	register(a, s, get("list-quarantine", "/api/v1/quarantine", "Trouble",
		"List what was accepted and not understood, the newest first"), s.listQuarantine)
	register(a, s, get("get-quarantined", "/api/v1/quarantine/{id}", "Trouble", "One quarantined message with its body"), s.getQuarantined)
	register(a, s, post("replay-quarantined", "/api/v1/quarantine/{id}/replay", "Trouble",
		"Send a quarantined body through the queue again; it stays in quarantine"), s.replayQuarantined)
}

func (s *server) listQuarantine(ctx context.Context, in *QuarantineInput) (List[lineage.Quarantined], error) {
	span, err := s.span(in.Window)
	if err != nil {
		return List[lineage.Quarantined]{}, err
	}
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return List[lineage.Quarantined]{}, err
	}
	var items []lineage.Quarantined
	next, err := lineage.QuarantineJournal.List(ctx, s.Store, span, cursor, in.Limit, func(e lineage.JournalEntry) (bool, error) {
		var q lineage.Quarantined
		if err := json.Unmarshal(e.Body, &q); err != nil {
			return false, fmt.Errorf("quarantine line %s: %w", e.Key, err)
		}
		if in.Reason != "" && q.Reason != in.Reason || !within(span, q.Received) {
			return false, nil
		}
		items = append(items, q)
		return true, nil
	})
	return page(items, next), err
}

func (s *server) getQuarantined(ctx context.Context, in *QuarantinedInput) (QuarantinedDetail, error) {
	q, body, err := lineage.GetQuarantined(ctx, s.Store, in.ID)
	if err != nil {
		return QuarantinedDetail{}, err
	}
	return QuarantinedDetail{q, contentOf(body)}, nil
}

// Replayed says that something was sent again.
type Replayed struct {
	ID     string `json:"id"`
	Fenced bool   `json:"fenced" doc:"Whether the replay may only rebuild lineage, and not act"`
}

// replayQuarantined sends the body as an event again: after a new version
// reads it, or a workspace was given an alias.
func (s *server) replayQuarantined(ctx context.Context, in *QuarantinedInput) (Replayed, error) {
	q, body, err := lineage.GetQuarantined(ctx, s.Store, in.ID)
	if err != nil {
		return Replayed{}, err
	}
	properties := maps.Clone(q.Properties)
	if properties == nil {
		properties = map[string]string{}
	}
	delete(properties, lineage.PropProblem)
	delete(properties, lineage.PropProblemDetail)
	properties[lineage.PropKind] = lineage.KindEvent
	// Each replay is a message of its own: a broker that drops repeats must
	// not take it for the one before.
	m := lineage.Message{ID: fmt.Sprintf("quarantine-%s-%d", q.ID, s.Now().UnixMilli()), Body: body, Properties: properties}
	if err := s.Queue.Send(ctx, []lineage.Message{m}); err != nil {
		return Replayed{}, err
	}
	if err := lineage.MarkReplayed(ctx, s.Store, q.ID, s.Now()); err != nil {
		return Replayed{}, err
	}
	return Replayed{ID: q.ID, Fenced: properties[lineage.PropFenced] == "true"}, nil
}
