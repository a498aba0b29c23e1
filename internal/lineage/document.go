package lineage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// EdgeType is a relation between two assets, directed from cause to effect.
type EdgeType string

// Types of edge: data –input→ job –produced→ model –deployed→ deployment
// –serves→ endpoint; monitor –watches→ model; model –superseded_by→ model;
// job –retrains→ model. `superseded_by` is never stored: it follows from what
// a deployment served one after the other.
const (
	Input        EdgeType = "input"
	Produced     EdgeType = "produced"
	Deployed     EdgeType = "deployed"
	Serves       EdgeType = "serves"
	Watches      EdgeType = "watches"
	SupersededBy EdgeType = "superseded_by"
	Retrains     EdgeType = "retrains"
)

// Limits of one asset document; what goes beyond is kept elsewhere (edges) or
// is the oldest of a bounded history (members).
const (
	maxInlineEdges = 64
	maxMembers     = 64
)

// Asset is what is known about one asset: the document `asset` in its
// partition. Its content is a join of everything that events said, so any
// order and any repetition of the same events ends in the same document.
type Asset struct {
	ID ID `json:"id"`
	// First and Last are the oldest and newest event that spoke of the asset.
	// What is merely mentioned, run after run, moves Last by whole hours: the
	// document of a busy data asset need not be written for each of them.
	First Stamp `json:"first"`
	Last  Stamp `json:"last"`
	// Fields are registers: the newest stamp wins.
	Fields map[string]Field `json:"fields,omitempty"`
	// Sets are bounded histories: per member key the newest stamp wins, and
	// the newest 64 members stay.
	Sets map[string][]Member `json:"sets,omitempty"`
	// Edges are the first 64 edges that came, sorted; Overflow says that
	// there are more, as records of their own under `edge/`.
	Edges    []Edge `json:"edges,omitempty"`
	Overflow bool   `json:"overflow,omitempty"`
	// Rev counts writes and Recorded is the time of the last: facts about
	// this copy, not part of the lineage.
	Rev      int64     `json:"rev"`
	Recorded time.Time `json:"recorded"`
}

// Field is one register. V is JSON.
type Field struct {
	V json.RawMessage `json:"v"`
	S Stamp           `json:"s"`
}

// Member is one entry of a bounded history. V is JSON.
type Member struct {
	K string          `json:"k"`
	V json.RawMessage `json:"v"`
	S Stamp           `json:"s"`
}

// Edge is one end of an edge, seen from the asset that holds it.
type Edge struct {
	// Out is true when the asset is the cause (`from`).
	Out   bool     `json:"out,omitempty"`
	Type  EdgeType `json:"type"`
	Other ID       `json:"other"`
	// Since is the oldest event that spoke of the edge.
	Since Stamp `json:"since"`
}

func (e Edge) compare(o Edge) int {
	if e.Out != o.Out {
		if o.Out {
			return -1
		}
		return 1
	}
	if c := strings.Compare(string(e.Type), string(o.Type)); c != 0 {
		return c
	}
	return strings.Compare(string(e.Other), string(o.Other))
}

// RecordID is where an overflowed edge lives in its asset's partition.
func (e Edge) RecordID() string {
	dir := "in/"
	if e.Out {
		dir = "out/"
	}
	return "edge/" + dir + string(e.Type) + "/" + string(e.Other)
}

// Text reads a register that holds a string; "" when it holds none.
func (a *Asset) Text(field string) string {
	var s string
	if f, ok := a.Fields[field]; ok && json.Unmarshal(f.V, &s) == nil {
		return s
	}
	return ""
}

// Status is the status of a job, or what a monitor found in its newest
// window: "breached" when any signal of that window was, else "passed".
func (a *Asset) Status() string {
	measured := a.Sets["measured"]
	if len(measured) == 0 {
		return a.Text("status")
	}
	newest, status := "", ""
	for i := len(measured) - 1; i >= 0; i-- {
		var m Measured
		if json.Unmarshal(measured[i].V, &m) != nil {
			continue
		}
		if newest == "" {
			newest, status = m.Window, "passed"
		}
		if m.Window == newest && m.Breached {
			return "breached"
		}
	}
	return status
}

// Map reads a register that holds an object of strings; nil when it does not.
func (a *Asset) Map(field string) map[string]string {
	var m map[string]string
	if f, ok := a.Fields[field]; ok && json.Unmarshal(f.V, &m) == nil {
		return m
	}
	return nil
}

// setField lets the newest stamp win.
func (a *Asset) setField(name string, v json.RawMessage, s Stamp) bool {
	if old, ok := a.Fields[name]; ok && old.S.Compare(s) >= 0 {
		return false
	}
	if a.Fields == nil {
		a.Fields = make(map[string]Field, 8)
	}
	a.Fields[name] = Field{V: v, S: s}
	return true
}

// addMember keeps the newest stamp per key and the newest members of a set,
// ordered oldest first.
func (a *Asset) addMember(set string, m Member) bool {
	members := a.Sets[set]
	if i := slices.IndexFunc(members, func(o Member) bool { return o.K == m.K }); i >= 0 {
		if members[i].S.Compare(m.S) >= 0 {
			return false
		}
		members = slices.Delete(slices.Clone(members), i, i+1)
	} else if len(members) >= maxMembers && members[0].S.Compare(m.S) > 0 {
		return false
	}
	i, _ := slices.BinarySearchFunc(members, m.S, func(o Member, s Stamp) int { return o.S.Compare(s) })
	members = slices.Insert(slices.Clone(members), i, m)
	if len(members) > maxMembers {
		members = members[len(members)-maxMembers:]
	}
	if a.Sets == nil {
		a.Sets = make(map[string][]Member, 2)
	}
	a.Sets[set] = members
	return true
}

// Remembers says whether a member of that time would be kept in a bounded
// history: what is older than all of a full one is forgotten.
func (a *Asset) Remembers(set string, at time.Time) bool {
	members := a.Sets[set]
	return len(members) < maxMembers || at.After(members[0].S.At)
}

// addEdge keeps the oldest stamp of an edge. It returns the edge to store
// apart when the document is full, which the caller joins with what is there.
func (a *Asset) addEdge(e Edge) (changed bool, overflow *Edge) {
	i, found := slices.BinarySearchFunc(a.Edges, e, Edge.compare)
	switch {
	case found && a.Edges[i].Since.Compare(e.Since) <= 0:
		return false, nil
	case found:
		a.Edges[i].Since = e.Since
		return true, nil
	case len(a.Edges) >= maxInlineEdges:
		changed = !a.Overflow
		a.Overflow = true
		return changed, &e
	}
	a.Edges = slices.Insert(a.Edges, i, e)
	return true, nil
}

// mentionsEvery is the step in which mentions move Last.
const mentionsEvery = time.Hour

// saw widens the span of events that spoke of the asset.
func (a *Asset) saw(s Stamp, mention bool) bool {
	changed := false
	if a.First.IsZero() || s.Compare(a.First) < 0 {
		a.First, changed = s, true
	}
	if mention {
		s = Stamp{At: s.At.Truncate(mentionsEvery)}
	}
	if s.Compare(a.Last) > 0 {
		a.Last, changed = s, true
	}
	return changed
}

// LastSeen is the time of the newest event that spoke of the asset; where that
// only mentioned it, to the hour.
func (a *Asset) LastSeen() time.Time {
	if a.First.At.After(a.Last.At) {
		return a.First.At
	}
	return a.Last.At
}

// Load reads an asset's document; nil when nothing is known of it.
func Load(ctx context.Context, store Store, id ID) (*Asset, error) {
	got, err := store.Get(ctx, string(id), AssetRecord)
	if err != nil || got[0].Version == "" {
		return nil, err
	}
	return DecodeAsset(got[0].Body)
}

// DecodeAsset reads a stored document.
func DecodeAsset(body []byte) (*Asset, error) {
	a := new(Asset)
	if err := json.Unmarshal(body, a); err != nil {
		return nil, fmt.Errorf("stored asset: %w", err)
	}
	return a, nil
}
