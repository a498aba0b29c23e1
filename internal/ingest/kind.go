package ingest

import (
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
)

// kind is an event's kind as far as its type alone tells it, for metrics: the
// worker, which reads the payload, knows whether a status means failure or a
// breach. It is a number so that counting a batch needs no map.
type kind int

const (
	kindUnknown kind = iota
	kindModelRegistered
	kindModelDeployed
	kindJobCompleted
	kindJobStatus
	kindDriftDetected
	kindAlertFired
	kindAlertResolved
	kindSubscriptionDeleted
	kinds // their number
)

func (k kind) String() string {
	return string([kinds]event.Kind{
		event.Unknown, event.ModelRegistered, event.ModelDeployed, event.JobCompleted,
		event.JobStatus, event.DriftDetected, event.AlertFired, event.AlertResolved, event.SubscriptionDeleted,
	}[k])
}

var kindsByType = []struct {
	eventType string
	kind      kind
}{
	{"Microsoft.MachineLearningServices.RunStatusChanged", kindJobStatus},
	{"Microsoft.MachineLearningServices.RunCompleted", kindJobCompleted},
	{"Microsoft.MachineLearningServices.ModelRegistered", kindModelRegistered},
	{"Microsoft.MachineLearningServices.ModelDeployed", kindModelDeployed},
	{"Microsoft.MachineLearningServices.DatasetDriftDetected", kindDriftDetected},
	{"Microsoft.AlertsManagement.Alert.Fired", kindAlertFired},
	{"Microsoft.AlertsManagement.Alert.Resolved", kindAlertResolved},
	{"Microsoft.EventGrid.SubscriptionDeletedEvent", kindSubscriptionDeleted},
}

// kindOf ignores case, as the parser does. The lengths all differ, so one
// comparison at most goes beyond them.
func kindOf(eventType string) kind {
	for i := range kindsByType {
		known := &kindsByType[i]
		if len(known.eventType) == len(eventType) && strings.EqualFold(known.eventType, eventType) {
			return known.kind
		}
	}
	return kindUnknown
}
