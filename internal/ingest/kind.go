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
	kindAlert
	kindSubscriptionDeleted
	kinds // their number
)

func (k kind) String() string {
	return string([kinds]event.Kind{
		event.Unknown, event.ModelRegistered, event.ModelDeployed, event.JobCompleted,
		event.JobStatus, event.DriftDetected, "alert", event.SubscriptionDeleted,
	}[k])
}

// Types of events; Azure's casing, which senders keep.
const (
	typeSubscriptionValidation = "Microsoft.EventGrid.SubscriptionValidationEvent"
	typeSubscriptionDeleted    = "Microsoft.EventGrid.SubscriptionDeletedEvent"
)

// kindOf is found by type.
func kindOf(eventType string) kind {
	switch eventType {
	case "Microsoft.MachineLearningServices.ModelRegistered":
		return kindModelRegistered
	case "Microsoft.MachineLearningServices.ModelDeployed":
		return kindModelDeployed
	case "Microsoft.MachineLearningServices.RunCompleted":
		return kindJobCompleted
	case "Microsoft.MachineLearningServices.RunStatusChanged":
		return kindJobStatus
	case "Microsoft.MachineLearningServices.DatasetDriftDetected":
		return kindDriftDetected
	case typeSubscriptionDeleted:
		return kindSubscriptionDeleted
	}
	if strings.HasPrefix(eventType, "Microsoft.Insights.") || strings.HasPrefix(eventType, "azureMonitor") {
		return kindAlert
	}
	return kindUnknown
}
