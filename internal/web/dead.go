package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// DeadInput names a dead letter.
type DeadInput struct {
	ID string `path:"id" doc:"The dead letter's id"`
}

// DeadLetter is a message that was taken out of circulation.
type DeadLetter struct {
	ID          string            `json:"id"`
	MessageID   string            `json:"messageId,omitempty"`
	Reason      string            `json:"reason"`
	Description string            `json:"description,omitempty"`
	Attempts    int               `json:"attempts"`
	Enqueued    time.Time         `json:"enqueued,omitzero"`
	Died        time.Time         `json:"died,omitzero"`
	Properties  map[string]string `json:"properties,omitempty"`
	Size        int               `json:"size" doc:"Bytes of the body"`
	Excerpt     string            `json:"excerpt" doc:"The body's first 2 KiB as text"`
}

// DeadLetterDetail is a dead letter with its whole body.
type DeadLetterDetail struct {
	DeadLetter
	Content
}

// ReplayInput asks for a replay.
type ReplayInput struct {
	DeadInput
	Body *ReplayBody
}

// ReplayBody says what a replay may do.
type ReplayBody struct {
	Act bool `json:"act,omitempty" doc:"Let policies act on it. Without it the replay rebuilds lineage and can't retrain, page or roll back"`
}

const deadExcerpt = 2 << 10

func deadLetter(m *lineage.DeadMessage) DeadLetter {
	return DeadLetter{
		ID: m.ID, MessageID: m.Message.ID, Reason: m.Reason, Description: m.Description, Attempts: m.Attempt,
		Enqueued: m.Enqueued, Died: m.Died, Properties: m.Properties, Size: len(m.Body),
		Excerpt: strings.ToValidUTF8(string(m.Body[:min(len(m.Body), deadExcerpt)]), "\uFFFD"),
	}
}

func (s *server) deadRoutes(a huma.API) {
	register(a, s, get("list-dead", "/api/v1/dead", "Trouble", "List dead letters, the oldest first"), s.listDead)
	register(a, s, get("get-dead", "/api/v1/dead/{id}", "Trouble", "One dead letter with its body"), s.getDead)
	register(a, s, post("replay-dead", "/api/v1/dead/{id}/replay", "Trouble",
		"Put a dead letter back into the queue, by default fenced: it can't act"), s.replayDead)
	discard := get("discard-dead", "/api/v1/dead/{id}", "Trouble", "Remove a dead letter for good")
	discard.Method, discard.DefaultStatus = http.MethodDelete, http.StatusNoContent
	huma.Register(a, discard, func(ctx context.Context, in *DeadInput) (*struct{}, error) {
		if err := s.Dead.Discard(ctx, in.ID); err != nil {
			return nil, s.asAnswer(ctx, err)
		}
		return &struct{}{}, nil
	})
}

func (s *server) listDead(ctx context.Context, in *Paging) (List[DeadLetter], error) {
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return List[DeadLetter]{}, err
	}
	dead, next, err := s.Dead.ListDead(ctx, cursor, in.Limit)
	if err != nil {
		return List[DeadLetter]{}, err
	}
	items := make([]DeadLetter, len(dead))
	for i := range dead {
		items[i] = deadLetter(&dead[i])
	}
	return page(items, next), nil
}

func (s *server) getDead(ctx context.Context, in *DeadInput) (DeadLetterDetail, error) {
	m, err := s.Dead.GetDead(ctx, in.ID)
	if err != nil {
		return DeadLetterDetail{}, err
	}
	return DeadLetterDetail{deadLetter(&m), contentOf(m.Body)}, nil
}

func (s *server) replayDead(ctx context.Context, in *ReplayInput) (Replayed, error) {
	fenced := in.Body == nil || !in.Body.Act
	err := s.Dead.Replay(ctx, in.ID, map[string]string{lineage.PropFenced: strconv.FormatBool(fenced)})
	return Replayed{ID: in.ID, Fenced: fenced}, err
}
