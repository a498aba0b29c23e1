package effect

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// pagerSignature is the header that a webhook v3 is signed in.
const pagerSignature = "X-PagerDuty-Signature"

// Bounds of what is taken from a webhook, in bytes; those of a review's command.
const (
	maxPagerName = 200
	maxPagerNote = 2000
)

// pagerPerson is the type of an agent that is a person. Others are integrations,
// ours among them, timeouts and rules: they say nothing of what somebody decided.
const pagerPerson = "user_reference"

// pagerMerged is why an incident was resolved when it was merged into another,
// which is not over.
const pagerMerged = "merge_resolve_reason"

// pagerVerbs say what an event is to a review. What is not listed, to be
// unacknowledged among it, which a timeout does, changes nothing.
var pagerVerbs = map[string]review.Verb{
	"incident.acknowledged": review.Ack,
	"incident.resolved":     review.Resolve,
	"incident.reopened":     review.Reopen,
	"incident.annotated":    review.Remark,
}

// pagerCallback is the part of a webhook v3 that is read here.
type pagerCallback struct {
	ID         string    `json:"id"`
	Type       string    `json:"event_type"`
	OccurredAt time.Time `json:"occurred_at"`
	Agent      *struct {
		Type    string `json:"type"`
		Summary string `json:"summary"`
	} `json:"agent"`
	Data struct {
		ID          string `json:"id"`
		Type        string `json:"type"`
		IncidentKey string `json:"incident_key"`
		Reason      *struct {
			Type string `json:"type"`
		} `json:"resolve_reason"`
		// Content and Incident are a note's.
		Content  string `json:"content"`
		Incident struct {
			ID string `json:"id"`
		} `json:"incident"`
	} `json:"data"`
}

// Hear implements Caller.
func (p *pagerDuty) Hear(header http.Header, body []byte) ([]Heard, error) {
	if p.secret == "" {
		return nil, ErrNoCallback
	}
	if !pagerSigned(p.secret, header.Get(pagerSignature), body) {
		return nil, ErrForged
	}
	var m struct {
		Event *pagerCallback `json:"event"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("the webhook of PagerDuty can't be read: %w", err)
	}
	if m.Event == nil || m.Event.Type == "" {
		return nil, errors.New("the webhook of PagerDuty has no event.event_type: is the subscription's version 3?")
	}
	return p.hear(m.Event)
}

func (p *pagerDuty) hear(e *pagerCallback) ([]Heard, error) {
	ref := e.Data.IncidentKey
	if e.Data.Type == "incident_note" {
		ref = p.known.key(e.Data.Incident.ID)
	} else {
		p.known.learn(e.Data.ID, ref)
	}
	verb, matters := pagerVerbs[e.Type]
	key := pagerKey(ref)
	if !matters || key == "" || e.Agent == nil || e.Agent.Type != pagerPerson || e.Data.Reason != nil && e.Data.Reason.Type == pagerMerged {
		return nil, nil
	}
	if e.OccurredAt.IsZero() {
		return nil, fmt.Errorf("the webhook of PagerDuty has a %s without occurred_at", e.Type)
	}
	return []Heard{{
		Key: key, Ref: ref, Verb: verb, At: e.OccurredAt, ID: e.ID,
		By: clip(e.Agent.Summary, maxPagerName), Why: clip(e.Data.Content, maxPagerNote),
	}}, nil
}

// pagerSigned reports whether one of the header's signatures is the secret's.
// PagerDuty sends several while a secret is exchanged.
func pagerSigned(secret, header string, body []byte) bool {
	want := bodyMAC(secret, body)
	for given := range strings.SplitSeq(header, ",") {
		digits, versioned := strings.CutPrefix(strings.TrimSpace(given), "v1=")
		got, err := hex.DecodeString(digits)
		if versioned && err == nil && hmac.Equal(got, want) {
			return true
		}
	}
	return false
}

// pagerRef is an incident's key that may be ours: a delivery's, and a number
// from the second incident on.
var pagerRef = regexp.MustCompile(`^([A-Za-z0-9-]{1,40})(?:\.[1-9][0-9]{0,8})?$`)

// pagerKey is the delivery's key in an incident's, "" for other people's.
func pagerKey(ref string) string {
	if m := pagerRef.FindStringSubmatch(ref); m != nil {
		return m[1]
	}
	return ""
}

// maxIncidents bounds how many incidents are remembered.
const maxIncidents = 5000

// incidentKeys remembers the keys of incidents that were heard of: a note tells
// its incident's id alone. A note on an incident that this process has heard
// nothing of is not understood.
type incidentKeys struct {
	mu   sync.Mutex
	keys map[string]string
	ids  []string // in order of appearance
}

func (k *incidentKeys) learn(id, key string) {
	if id == "" || len(id) > maxPagerName || pagerKey(key) == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]string{}
	}
	if _, known := k.keys[id]; !known {
		k.ids = append(k.ids, id)
	}
	k.keys[id] = key
	if len(k.ids) > maxIncidents {
		delete(k.keys, k.ids[0])
		k.ids = k.ids[1:]
	}
}

func (k *incidentKeys) key(id string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[id]
}
