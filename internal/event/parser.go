package event

import (
	"fmt"
	"strings"
)

// Types of event that are read here, without regard to case.
const (
	typePrefix          = "Microsoft.MachineLearningServices."
	alertPrefix         = "Microsoft.AlertsManagement.Alert."
	typeSubscriptionCut = "Microsoft.EventGrid.SubscriptionDeletedEvent"
)

// Aliases of what lies in no workspace.
const (
	// AliasMonitor is the workspace of alerts about other resources.
	AliasMonitor = "azure-monitor"
	// AliasEventGrid is the workspace of a deleted subscription whose topic
	// is no workspace.
	AliasEventGrid = "event-grid"
)

// Parser reads envelopes into events. It never changes after NewParser and is
// safe for concurrent use.
type Parser struct {
	aliases          map[string]string
	modelJobKeys     keyList
	dataInputKeys    keyList
	monitorModelKeys keyList
	experiments      []string
	monitorModels    map[string]string
}

// reader fills in what one type of event carries.
type reader func(p *Parser, e *Event, d *document) *Problem

// readers read the types of Azure Machine Learning, named without typePrefix.
// [Event Grid schema of Azure Machine Learning]
var readers = []struct {
	name string
	read reader
}{
	{"RunCompleted", (*Parser).runCompleted},
	{"RunStatusChanged", (*Parser).runStatusChanged},
	{"ModelRegistered", (*Parser).modelRegistered},
	{"ModelDeployed", (*Parser).modelDeployed},
	{"DatasetDriftDetected", (*Parser).driftDetected},
}

// Parse reads an envelope into a typed event. It tolerates what Azure has been
// seen to send: any casing of keys, numbers or strings, null and missing
// parts, for which the subject stands in. An event of a workspace whose type
// is unknown has Kind Unknown and no error.
//
// The error is a *Problem, for quarantine: ReasonForeignSource when the event
// is from elsewhere, ReasonBadData when nothing says what it is about.
//
// The event's strings share one copy of the payload: whoever keeps one of them
// for long should clone it.
func (p *Parser) Parse(env Envelope) (*Event, error) {
	d, ok := newDocument(env.Data)
	if !ok {
		return nil, &Problem{ReasonBadData, fmt.Sprintf("the data of event %q is not valid JSON", clip(env.ID, 80))}
	}
	e := &Event{Envelope: env, Kind: Unknown}
	read := p.choose(e, d)
	if read == nil {
		return nil, foreign(&env)
	}
	if problem := read(p, e, d); problem != nil {
		return nil, problem
	}
	e.Trimmed += d.trimmed
	return e, nil
}

// choose finds the workspace and the reader for e; nil when e is foreign.
func (p *Parser) choose(e *Event, d *document) reader {
	workspace, ours := p.Workspace(e.Source)
	e.Workspace = workspace
	switch {
	case strings.EqualFold(e.Type, typeSubscriptionCut):
		return (*Parser).subscriptionDeleted
	case hasPrefixFold(e.Type, alertPrefix):
		return (*Parser).alert
	case ours:
		return readerOf(e.Type)
	case saysAlert(d):
		return (*Parser).alert
	}
	return nil
}

func readerOf(typ string) reader {
	if hasPrefixFold(typ, typePrefix) {
		for _, r := range readers {
			if strings.EqualFold(typ[len(typePrefix):], r.name) {
				return r.read
			}
		}
	}
	return (*Parser).unknown
}

func (p *Parser) unknown(*Event, *document) *Problem { return nil }

// subscriptionDeleted reads the notice that somebody cut the wire. Its data
// names the event subscription, which lies within the workspace.
func (p *Parser) subscriptionDeleted(e *Event, d *document) *Problem {
	e.Kind = SubscriptionDeleted
	for key, v := range d.members(d.root) {
		if e.Workspace.Alias == "" && strings.EqualFold(key, "eventSubscriptionId") {
			e.Workspace, _ = p.Workspace(d.name(v))
		}
	}
	if e.Workspace.Alias == "" {
		e.Workspace.Alias = AliasEventGrid
	}
	return nil
}

func foreign(env *Envelope) *Problem {
	return &Problem{ReasonForeignSource, fmt.Sprintf(
		"event %q of type %q comes from %q, which is no Azure Machine Learning workspace: check which topic the subscription is on",
		clip(env.ID, 80), clip(env.Type, 120), clip(env.Source, 300))}
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
