package event

import (
	"cmp"
	"fmt"
	"strings"
)

// commonSchema is the schemaId of Azure Monitor's common alert schema.
const commonSchema = "azureMonitorCommonAlertSchema"

// essentials are the parts of a common alert that say which alert it is.
type essentials struct {
	alertID, originID, rule, severity, condition string
	description, fired, resolved                 string
	targets                                      []string
}

// alertParts are the places of a common alert that are read.
type alertParts struct {
	schema, essentials, context, custom span
}

// find looks for the parts in the object at v and in the object called data
// within it: customProperties has been seen in both places.
func (a *alertParts) find(d *document, v span, within bool) {
	for key, val := range d.members(v) {
		switch {
		case strings.EqualFold(key, "schemaId"):
			a.schema = val
		case strings.EqualFold(key, "essentials"):
			a.essentials = val
		case strings.EqualFold(key, "alertContext"):
			a.context = val
		case strings.EqualFold(key, "customProperties") && d.is(val, '{'):
			a.custom = val
		case strings.EqualFold(key, "data") && !within:
			a.find(d, val, true)
		}
	}
}

func (d *document) essentials(v span) essentials {
	var a essentials
	for key, val := range d.members(v) {
		switch {
		case strings.EqualFold(key, "alertId"):
			a.alertID = d.name(val)
		case strings.EqualFold(key, "originAlertId"):
			a.originID = d.name(val)
		case strings.EqualFold(key, "alertRule"):
			a.rule = d.name(val)
		case strings.EqualFold(key, "severity"):
			a.severity = d.name(val)
		case strings.EqualFold(key, "monitorCondition"):
			a.condition = d.name(val)
		case strings.EqualFold(key, "description"):
			a.description = d.name(val)
		case strings.EqualFold(key, "firedDateTime"):
			a.fired = d.name(val)
		case strings.EqualFold(key, "resolvedDateTime"):
			a.resolved = d.name(val)
		case strings.EqualFold(key, "alertTargetIDs"):
			a.targets = d.targets(val)
		}
	}
	return a
}

// maxAlertParts bounds the targets and the conditions of an alert; what lies
// beyond is counted in Event.Trimmed.
const maxAlertParts = 64

// targets are an alert's target ids: an array, or one string.
func (d *document) targets(v span) []string {
	if d.is(v, '[') {
		found := links[string]{limit: maxAlertParts}
		for target := range d.texts(v) {
			found.add(target)
		}
		d.trimmed += found.dropped
		return found.list
	}
	if t := d.name(v); t != "" {
		return []string{t}
	}
	return nil
}

// isResolved reports whether the alert's condition is over. An alert that does
// not say goes by whether it has a time of resolution.
func (a *essentials) isResolved() bool {
	switch strings.ToLower(a.condition) {
	case "":
		return a.resolved != ""
	case "resolved", "deactivated", "closed":
		return true
	}
	return false
}

// since is when the condition that the alert reports began, as written.
func (a *essentials) since() string {
	if a.isResolved() {
		return cmp.Or(a.resolved, a.fired)
	}
	return a.fired
}

// source is the resource that the alert is about, else its subscription.
func (a *essentials) source() string {
	if len(a.targets) > 0 && a.targets[0] != "" {
		return a.targets[0]
	}
	if s := segment(a.alertID, "subscriptions"); s != "" {
		return "/subscriptions/" + s
	}
	return AliasMonitor
}

// alertEnvelope makes the canonical event of an alert whose whole text is raw.
// Its id is stable over redelivery and differs between one alert's firing, its
// resolution, and its next firing.
func alertEnvelope(s *scanner, f *fields, raw span) (e Envelope, reason, what string) {
	if schema := s.optional(f.schema); !strings.EqualFold(schema, commonSchema) {
		return e, ReasonUnsupportedType, fmt.Sprintf(
			"the alert has schema %q: enable the common alert schema in the action group", clip(schema, 80))
	}
	d := &document{scanner: s.at(raw), root: raw}
	if d.value(1); d.fault != sound { // as data it stands one level deeper
		return e, d.fault.reason(), d.fault.String()
	}
	var parts alertParts
	parts.find(d, raw, false)
	a := d.essentials(parts.essentials)
	id := cmp.Or(a.alertID, a.originID)
	if id == "" {
		return e, ReasonMissingID, "the alert has no data.essentials.alertId"
	}
	condition := "Fired"
	if a.isResolved() {
		condition = "Resolved"
	}
	return Envelope{
		ID:      id + "/" + condition + "/" + Digest(a.since()),
		Source:  a.source(),
		Type:    alertPrefix + condition,
		Subject: a.rule,
		Time:    parseInstant(a.since()),
		Data:    s.bytes(raw),
	}, "", ""
}

// saysAlert reports whether a payload is a common alert that some sender put
// into an envelope of its own.
func saysAlert(d *document) bool {
	var parts alertParts
	parts.find(d, d.root, false)
	return parts.schema != (span{}) && strings.EqualFold(d.name(parts.schema), commonSchema)
}

// alert reads a common alert.
func (p *Parser) alert(e *Event, d *document) *Problem {
	var parts alertParts
	parts.find(d, d.root, false)
	es := d.essentials(parts.essentials)
	a := &Alert{
		ID: cmp.Or(es.alertID, es.originID), Rule: es.rule, Severity: es.severity,
		Targets: es.targets, Description: es.description, Fired: parseInstant(es.fired),
	}
	if a.ID == "" {
		return badData(e, "which alert", "data.essentials.alertId", "the rule's name")
	}
	e.Kind, e.Alert = AlertFired, a
	if es.isResolved() {
		e.Kind, a.Resolved = AlertResolved, parseInstant(es.resolved)
	}
	a.Conditions = d.conditions(parts.context)
	a.Custom = d.stringMap(parts.custom)
	a.locate()
	p.placeAlert(e)
	return nil
}

// placeAlert finds the workspace among the alert's targets.
func (p *Parser) placeAlert(e *Event) {
	for _, t := range append([]string{e.Source}, e.Alert.Targets...) {
		if w, ok := p.Workspace(t); ok {
			e.Workspace = w
			return
		}
	}
	e.Workspace = Workspace{Alias: AliasMonitor}
}

// conditions reads alertContext.condition.allOf.
func (d *document) conditions(context span) []AlertCondition {
	var out []AlertCondition
	for key, condition := range d.members(context) {
		if !strings.EqualFold(key, "condition") {
			continue
		}
		for key, all := range d.members(condition) {
			if !strings.EqualFold(key, "allOf") {
				continue
			}
			for c := range d.elements(all) {
				if len(out) == maxAlertParts {
					d.trimmed++
					continue
				}
				out = append(out, d.condition(c))
			}
		}
	}
	return out
}

func (d *document) condition(v span) AlertCondition {
	var c AlertCondition
	for key, val := range d.members(v) {
		switch {
		case strings.EqualFold(key, "metricName"):
			c.Metric = d.name(val)
		case strings.EqualFold(key, "operator"):
			c.Operator = d.name(val)
		case strings.EqualFold(key, "threshold"):
			c.Threshold = d.number(val)
		case strings.EqualFold(key, "metricValue"):
			c.Value = d.number(val)
		case strings.EqualFold(key, "timeAggregation"):
			c.Aggregation = d.name(val)
		case strings.EqualFold(key, "dimensions"):
			c.Dimensions = d.dimensions(val)
		}
	}
	return c
}

// dimensions reads [{"name": …, "value": …}], or a plain object.
func (d *document) dimensions(v span) map[string]string {
	if d.is(v, '{') {
		return d.stringMap(v)
	}
	var m map[string]string
	for e := range d.elements(v) {
		var name, value string
		for key, val := range d.members(e) {
			switch {
			case strings.EqualFold(key, "name"):
				name = d.name(val)
			case strings.EqualFold(key, "value"):
				value = d.name(val)
			}
		}
		m = d.put(m, name, value)
	}
	return m
}

// Dimensions and custom properties by which an alert names what it is about.
var (
	endpointDimensions   = newKeyList([]string{"endpoint", "endpointName", "onlineEndpoint"})
	deploymentDimensions = newKeyList([]string{"deployment", "deploymentName"})
	alertModelKeys       = newKeyList([]string{"model", "modelName"})
)

// locate finds endpoint, deployment and model: in the targets' ARM ids, then
// in the conditions' dimensions, then in the custom properties.
func (a *Alert) locate() {
	for _, t := range a.Targets {
		a.Endpoint = cmp.Or(a.Endpoint, segment(t, "onlineEndpoints"), segment(t, "batchEndpoints"))
		a.Deployment = cmp.Or(a.Deployment, segment(t, "deployments"))
	}
	named := make([]map[string]string, 0, len(a.Conditions)+1)
	for _, c := range a.Conditions {
		named = append(named, c.Dimensions)
	}
	named = append(named, a.Custom)
	a.Endpoint = strings.ToLower(cmp.Or(a.Endpoint, firstValue(&endpointDimensions, named)))
	a.Deployment = strings.ToLower(cmp.Or(a.Deployment, firstValue(&deploymentDimensions, named)))
	a.Model, _ = assetRef(firstValue(&alertModelKeys, named[len(named)-1:]), "models")
}

func firstValue(keys *keyList, maps []map[string]string) string {
	for _, m := range maps {
		if v := keys.values(m); len(v) > 0 {
			return strings.TrimSpace(v[0])
		}
	}
	return ""
}
