package sandbox

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Event types of Azure ML and Event Grid.
const (
	typeModelRegistered  = "Microsoft.MachineLearningServices.ModelRegistered"
	typeModelDeployed    = "Microsoft.MachineLearningServices.ModelDeployed"
	typeRunCompleted     = "Microsoft.MachineLearningServices.RunCompleted"
	typeRunStatusChanged = "Microsoft.MachineLearningServices.RunStatusChanged"
	typeDrift            = "Microsoft.MachineLearningServices.DatasetDriftDetected"
	typeValidation       = "Microsoft.EventGrid.SubscriptionValidationEvent"
	typeDeletion         = "Microsoft.EventGrid.SubscriptionDeletedEvent"
)

// Schema is the envelope an event subscription asks for.
type Schema string

// The schemas that Event Grid delivers to a webhook.
const (
	EventGrid   Schema = "eventgrid"
	CloudEvents Schema = "cloudevents"
)

// Casing is how the keys of `data` are written. Microsoft's documentation
// shows both, one of them per event type; see Pascal for what else differs.
type Casing string

// The casings. Camel is what is sent today and what SDK fixtures show; Pascal
// is what the documentation's samples of Model* events show, and as there,
// versions are then JSON numbers.
const (
	Camel  Casing = "camel"
	Pascal Casing = "pascal"
)

// timeLayout is Azure's: UTC, seven digits.
const timeLayout = "2006-01-02T15:04:05.0000000Z"

// occurrence is an event before it takes on a subscription's schema.
type occurrence struct {
	id, kind, subject string
	time              time.Time
	data              []field
}

// field is one key of `data`, in camel case, in the order of the payload.
type field struct {
	key   string
	value any
}

// versionText is a model version: text in camel payloads, a number in Pascal
// ones where it is one.
type versionText string

// emit hands an event to every subscription. Callers hold w.mu.
func (w *Workspace) emit(kind, subject string, at time.Time, data ...field) {
	o := occurrence{id: w.ids.uuid(), kind: kind, subject: subject, time: at, data: data}
	for _, s := range w.subs {
		s.enqueue(o)
	}
}

// render writes the event in a subscription's schema.
func (o *occurrence) render(source string, schema Schema, casing Casing) []byte {
	var b bytes.Buffer
	if schema == CloudEvents {
		writeObject(&b, []field{
			{"specversion", "1.0"}, {"id", o.id}, {"source", source}, {"subject", o.subject},
			{"type", o.kind}, {"time", o.time.Format(timeLayout)}, {"data", o.payload(casing)},
		})
		return b.Bytes()
	}
	writeObject(&b, []field{
		{"id", o.id}, {"topic", source}, {"subject", o.subject}, {"eventType", o.kind},
		{"eventTime", o.time.Format(timeLayout)}, {"data", o.payload(casing)},
		{"dataVersion", "2"}, {"metadataVersion", "1"},
	})
	return b.Bytes()
}

func (o *occurrence) payload(casing Casing) json.RawMessage {
	fields := make([]field, len(o.data))
	for i, f := range o.data {
		if v, ok := f.value.(versionText); ok {
			f.value = string(v)
			if n, err := strconv.Atoi(string(v)); err == nil && casing == Pascal {
				f.value = n
			}
		}
		if casing == Pascal {
			f.key = pascal(f.key)
		}
		fields[i] = f
	}
	var b bytes.Buffer
	writeObject(&b, fields)
	return b.Bytes()
}

func pascal(key string) string { return string(unicode.ToUpper(rune(key[0]))) + key[1:] }

// writeObject writes fields as a JSON object in their order. Values are
// strings, numbers and maps of strings, which always marshal.
func writeObject(b *bytes.Buffer, fields []field) {
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		writeJSON(b, f.key)
		b.WriteByte(':')
		writeJSON(b, f.value)
	}
	b.WriteByte('}')
}

// writeJSON writes v without escaping HTML, as Azure does.
func writeJSON(b *bytes.Buffer, v any) {
	if raw, ok := v.(json.RawMessage); ok {
		b.Write(raw)
		return
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		b.WriteString("null")
		return
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
}

// The events of a run, a model and a deployment. Callers hold w.mu.

func (w *Workspace) emitRunStatus(j *job) {
	w.emit(typeRunStatusChanged, j.subject(), w.stamp(), append(j.eventFields(), field{"runStatus", string(j.status)})...)
}

func (w *Workspace) emitRunCompleted(j *job) {
	w.emit(typeRunCompleted, j.subject(), w.stamp(), j.eventFields()...)
}

func (w *Workspace) emitModelRegistered(m *modelVersion) {
	w.emit(typeModelRegistered, "models/"+m.name+":"+m.version, m.created,
		field{"modelName", m.name}, field{"modelVersion", versionText(m.version)},
		field{"modelTags", m.tags}, field{"modelProperties", m.properties})
}

func (w *Workspace) emitModelDeployed(e *endpoint, d *deployment) {
	w.emit(typeModelDeployed, "endpoints/"+e.name, d.updated,
		field{"serviceName", e.name}, field{"serviceComputeType", "Managed"},
		field{"modelIds", d.model + ":" + d.version},
		field{"serviceTags", map[string]string{}},
		field{"serviceProperties", map[string]string{"deploymentName": d.name}})
}

// DriftReport is what the legacy data drift monitor (v1) tells.
type DriftReport struct {
	ID, Name, Run              string
	BaseDataset, TargetDataset string
	Coefficient                float64
	Start, End                 time.Time
}

// ReportDrift emits a legacy DatasetDriftDetected event. Empty ids are made
// up; an empty time stays empty, as it has been seen.
func (w *Workspace) ReportDrift(r DriftReport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.ID = orElse(r.ID, stableUUID(w.opts.Seed, "drift/"+r.Name))
	at := w.stamp()
	r.Run = orElse(r.Run, r.ID+"_"+strconv.FormatInt(at.UnixMilli(), 10))
	w.emit(typeDrift, "datadrift/"+r.ID+"/run/"+r.Run, at,
		field{"dataDriftId", r.ID}, field{"dataDriftName", r.Name}, field{"runId", r.Run},
		field{"baseDatasetId", orElse(r.BaseDataset, stableUUID(w.opts.Seed, "base/"+r.Name))},
		field{"targetDatasetId", orElse(r.TargetDataset, stableUUID(w.opts.Seed, "target/"+r.Name))},
		field{"driftCoefficient", r.Coefficient},
		field{"startTime", timeOrEmpty(r.Start)}, field{"endTime", timeOrEmpty(r.End)})
}

func timeOrEmpty(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strings.Replace(t.UTC().Format(time.RFC3339), "Z", "+00:00", 1)
}
