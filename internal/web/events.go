package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// EventsInput selects events.
type EventsInput struct {
	Asset     string `query:"asset" maxLength:"1000" doc:"Only events of this asset's own; since and until then bound the event's time, else the time it was recorded"`
	Kind      string `query:"kind" maxLength:"64" doc:"Only this kind" example:"monitor.breached"`
	Workspace string `query:"workspace" maxLength:"200" doc:"Only this workspace's alias"`
	ID        string `query:"id" maxLength:"1000" doc:"The sender's event id, or the event's key"`
	Window
	Paging
}

// EventFilter selects events; empty fields select all.
type EventFilter struct {
	Asset     lineage.ID
	Kind      string
	Workspace string
	ID        string
	Span      lineage.Span
}

func (f *EventFilter) keeps(l *lineage.EventLine) bool {
	return (f.Asset == "" || l.Asset == f.Asset) && (f.Kind == "" || string(l.Kind) == f.Kind) &&
		(f.Workspace == "" || l.Workspace == f.Workspace) && (f.ID == "" || isNamed(l, f.ID))
}

// isNamed reports whether somebody means this event by a name: its log key,
// its bare key, or the id that the sender gave it.
func isNamed(l *lineage.EventLine, name string) bool {
	if l.Key == name || l.ID == name {
		return true
	}
	key, _, _ := lineage.SplitLogKey(l.Key)
	return string(key) == name
}

func (s *server) eventRoutes(a huma.API) {
	register(a, s, get("list-events", "/api/v1/events", "Events", "List events, the newest first"), s.listEvents)
	register(a, s, spanning(get("get-event", "/api/v1/events/{key}", "Events",
		"One event: how it came in, what it said and what it caused"), "key"), s.getEvent)
}

func (s *server) listEvents(ctx context.Context, in *EventsInput) (List[lineage.EventLine], error) {
	var none List[lineage.EventLine]
	f := EventFilter{Kind: in.Kind, Workspace: in.Workspace, ID: in.ID}
	var err error
	if f.Asset, err = assetParam("query.asset", in.Asset); err != nil {
		return none, err
	}
	if f.Span, err = s.span(in.Window); err != nil {
		return none, err
	}
	cursor, err := openCursor(in.Cursor)
	if err != nil {
		return none, err
	}
	if f.Asset != "" {
		return s.assetEvents(ctx, f, cursor, in.Limit)
	}
	return s.journalEvents(ctx, f, cursor, in.Limit)
}

// journalEvents lists events of all assets by the time they were recorded.
func (s *server) journalEvents(ctx context.Context, f EventFilter, cursor string, limit int) (List[lineage.EventLine], error) {
	var items []lineage.EventLine
	next, err := lineage.EventJournal.List(ctx, s.Store, f.Span, cursor, limit, func(e lineage.JournalEntry) (bool, error) {
		var line lineage.EventLine
		if err := json.Unmarshal(e.Body, &line); err != nil {
			return false, fmt.Errorf("event line %s: %w", e.Key, err)
		}
		if !f.keeps(&line) || !within(f.Span, line.Committed) {
			return false, nil
		}
		items = append(items, line)
		return true, nil
	})
	return page(items, next), err
}

// maxEventReads bounds how many entries one listing of an asset looks at.
const maxEventReads = 5000

// assetEvents lists the events of one asset's partition by event time. The
// cursor is the order key of the last entry that was looked at.
func (s *server) assetEvents(ctx context.Context, f EventFilter, cursor string, limit int) (List[lineage.EventLine], error) {
	q := eventQuery(f, cursor)
	var items []lineage.EventLine
	last := ""
	for reads := 0; ; {
		records, err := s.Store.List(ctx, q)
		if err != nil {
			return page(items, ""), err
		}
		for _, r := range records.Records {
			if len(items) >= limit || reads >= maxEventReads {
				return page(items, last), nil
			}
			line, err := lineOf(r)
			if err != nil {
				return page(items, ""), err
			}
			last, reads = r.Sort, reads+1
			if f.keeps(&line) {
				items = append(items, line)
			}
		}
		if q.Cursor = records.Next; q.Cursor == "" {
			return page(items, ""), nil
		}
	}
}

func eventQuery(f EventFilter, cursor string) lineage.Query {
	q := lineage.Query{Partition: string(f.Asset), Order: lineage.BySort, Prefix: "event/", Descending: true, Limit: 500}
	if !f.Span.Since.IsZero() {
		q.From = lineage.EventSort(f.Span.Since, "")
	}
	if !f.Span.Until.IsZero() {
		q.Until = lineage.EventSort(f.Span.Until, "")
	}
	if cursor != "" {
		q.Until = cursor
	}
	return q
}

// lineOf makes a list's line of a log entry. An event that was too large for
// its entry shows no type and subject here; its page does.
func lineOf(r lineage.Record) (lineage.EventLine, error) {
	var e lineage.Entry
	if err := json.Unmarshal(r.Body, &e); err != nil {
		return lineage.EventLine{}, fmt.Errorf("log entry %s: %w", r.ID, err)
	}
	line := lineage.EventLine{
		Key: e.ID, Kind: e.Kind, Asset: e.Asset, Workspace: e.Workspace, Received: e.Received, Committed: e.Committed,
		Decisions: e.Decisions, Actions: len(e.Actions), Breaches: e.Breaches,
	}
	line.Time = sortedTime(r.Sort)
	if len(e.Event) > 0 {
		env, err := envelope(e.Event)
		if err != nil {
			return line, fmt.Errorf("log entry %s: %w", r.ID, err)
		}
		line.ID, line.Type, line.Subject = env.ID, env.Type, env.Subject
	}
	return line, nil
}

// sortedTime reads the time of an entry's lineage.EventSort.
func sortedTime(sort string) time.Time {
	at, _, _ := strings.Cut(strings.TrimPrefix(sort, "event/"), "/")
	t, _ := time.Parse(time.RFC3339Nano, at)
	return t
}

// envelope reads a canonical event back.
func envelope(canonical []byte) (event.Envelope, error) {
	items, err := event.Split("application/cloudevents+json", nil, canonical)
	if err != nil {
		return event.Envelope{}, err
	}
	if len(items) != 1 {
		return event.Envelope{}, fmt.Errorf("%d events where one was stored", len(items))
	}
	if items[0].Problem != nil {
		return event.Envelope{}, items[0].Problem
	}
	return items[0].Envelope, nil
}

// EventInput names an event.
type EventInput struct {
	Key string `path:"key" doc:"The event's log key; its bare key or the sender's id are looked for among recent events. As printed, or percent-escaped as one segment"`
}

// EventDetail is one event with all that came of it.
type EventDetail struct {
	Key       string     `json:"key" doc:"The log key: what names the event here"`
	ID        string     `json:"id" doc:"The sender's id"`
	Kind      event.Kind `json:"kind"`
	Asset     lineage.ID `json:"asset,omitempty"`
	Workspace string     `json:"workspace"`
	Source    string     `json:"source,omitempty"`
	Type      string     `json:"type"`
	Subject   string     `json:"subject,omitempty"`
	Time      time.Time  `json:"time" doc:"When it happened, by the sender's clock"`

	Received  time.Time `json:"received,omitzero" doc:"When the subscriber accepted it"`
	Queued    time.Time `json:"queued,omitzero" doc:"When the queue accepted it"`
	Committed time.Time `json:"committed" doc:"When its effects were stored"`

	Via           string `json:"via,omitempty" doc:"The way in: webhook, azure-monitor, pull, sandbox, reconciler, backfill"`
	Subscription  string `json:"subscription,omitempty" doc:"Event Grid's subscription"`
	DeliveryCount string `json:"deliveryCount,omitempty" doc:"Event Grid's own count of deliveries"`
	TraceParent   string `json:"traceparent,omitempty"`
	Fenced        bool   `json:"fenced,omitempty" doc:"A replay that was not allowed to act"`

	Event     json.RawMessage   `json:"event,omitempty" doc:"The canonical CloudEvent as it was queued"`
	Typed     *event.Event      `json:"typed,omitempty" doc:"The same, as Modelwarden reads it"`
	Breaches  []event.Breach    `json:"breaches" nullable:"false" doc:"The violated thresholds it reported"`
	Loss      *event.Loss       `json:"loss,omitempty" doc:"What a truncated breach tag no longer says"`
	Notes     []string          `json:"notes,omitempty" doc:"What was assumed about the event or left out of it, a sentence each"`
	Decisions []policy.Decision `json:"decisions" nullable:"false" doc:"Every policy's verdict on it, why-not included"`
	Actions   []policy.Action   `json:"actions" nullable:"false" doc:"The actions it caused, as they stand now"`
}

func (s *server) getEvent(ctx context.Context, in *EventInput) (EventDetail, error) {
	key, partition, ok := lineage.SplitLogKey(in.Key)
	if !ok {
		found, err := s.findEvent(ctx, in.Key)
		if err != nil {
			return EventDetail{}, err
		}
		key, partition, _ = lineage.SplitLogKey(found)
	}
	got, err := s.Store.Get(ctx, partition, lineage.EventRecord(key))
	if err != nil {
		return EventDetail{}, err
	}
	if got[0].Version == "" {
		return EventDetail{}, notCommitted(in.Key)
	}
	return s.eventDetail(ctx, got[0], partition)
}

func notCommitted(name string) error {
	return problem(http.StatusNotFound, "event %q is not committed (yet): if it was accepted, it waits in the queue, or is in quarantine or among the dead letters", name)
}

// findRounds bounds the search for an event by a name that does not say where
// it is kept; each round reads a few thousand entries.
const findRounds = 4

// findEvent looks for the newest event of that name.
func (s *server) findEvent(ctx context.Context, name string) (string, error) {
	f, cursor := EventFilter{ID: name}, ""
	for range findRounds {
		found, err := s.journalEvents(ctx, f, cursor, 1)
		if err != nil {
			return "", err
		}
		if len(found.Items) > 0 {
			return found.Items[0].Key, nil
		}
		if cursor, err = openCursor(found.NextCursor); err != nil || cursor == "" {
			break
		}
	}
	return "", notCommitted(name)
}

func (s *server) eventDetail(ctx context.Context, r lineage.Record, partition string) (EventDetail, error) {
	var e lineage.Entry
	if err := json.Unmarshal(r.Body, &e); err != nil {
		return EventDetail{}, fmt.Errorf("log entry %s: %w", r.ID, err)
	}
	d := EventDetail{
		Key: e.ID, Kind: e.Kind, Asset: e.Asset, Workspace: e.Workspace, Time: sortedTime(r.Sort),
		Received: e.Received, Queued: e.Queued, Committed: e.Committed,
		Via: e.Via, Subscription: e.Subscription, DeliveryCount: e.DeliveryCount, TraceParent: e.TraceParent,
		Fenced: e.Fenced, Event: e.Event, Loss: e.Loss, Notes: e.Notes, Breaches: []event.Breach{}, Decisions: []policy.Decision{},
	}
	var err error
	if e.Chunks > 0 {
		key, _, _ := lineage.SplitLogKey(e.ID)
		if d.Event, err = lineage.ReadBlob(ctx, s.Store, partition, string(key), e.Chunks); err != nil {
			return EventDetail{}, err
		}
	}
	d.read(s.Parser)
	decisions, err := policy.DecisionsOn(ctx, s.Store, e.ID)
	if err != nil {
		return EventDetail{}, err
	}
	d.Decisions = append(d.Decisions, decisions...)
	d.Actions, err = s.loadActions(ctx, e.Actions)
	return d, err
}

// read fills in what the canonical event says. What can't be read is shown
// as it is stored.
func (d *EventDetail) read(p *event.Parser) {
	env, err := envelope(d.Event)
	if err != nil {
		return
	}
	d.ID, d.Type, d.Subject, d.Source = env.ID, env.Type, env.Subject, env.Source
	ev, err := p.Parse(env)
	if err != nil {
		return
	}
	d.Breaches = append(d.Breaches, ev.Breaches...)
	ev.Data, ev.Breaches = nil, nil
	d.Typed = ev
}
