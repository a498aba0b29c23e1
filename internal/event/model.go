package event

import (
	"cmp"
	"fmt"
	"iter"
	"strings"
)

// modelRegistered reads modelName, modelVersion, modelTags, modelProperties;
// the subject is models/{name}:{version}.
func (p *Parser) modelRegistered(e *Event, d *document) *Problem {
	m := &Model{}
	for key, v := range d.members(d.root) {
		switch {
		case strings.EqualFold(key, "modelName"):
			m.Name = d.name(v)
		case strings.EqualFold(key, "modelVersion"):
			m.Version = d.version(v)
		case strings.EqualFold(key, "modelTags"):
			m.Tags = d.stringMap(v)
		case strings.EqualFold(key, "modelProperties"):
			m.Properties = d.stringMap(v)
		}
	}
	name, version := cutLast(segment(e.Subject, "models"), ':')
	m.Name, m.Version = cmp.Or(m.Name, name), cmp.Or(m.Version, version)
	if m.Name == "" || m.Version == "" {
		return badData(e, "a model's name and version", "modelName, modelVersion", "models/{name}:{version}")
	}
	m.Job = p.producingRun(m.Properties, m.Tags)
	e.Kind, e.Model = ModelRegistered, m
	return nil
}

// version is the value at v as a version: numbers keep their digits, but 12.0,
// as some serialisers write 12, is 12.
func (d *document) version(v span) string {
	s := d.name(v)
	if !d.is(v, '"') {
		whole, fraction, _ := strings.Cut(s, ".")
		if strings.Trim(fraction, "0") == "" {
			return whole
		}
	}
	return s
}

func badData(e *Event, what, keys, subject string) *Problem {
	return &Problem{ReasonBadData, fmt.Sprintf(
		"event %q of type %q does not say %s: neither its data (%s) nor its subject %q (%s) does",
		clip(e.ID, 80), clip(e.Type, 120), what, keys, clip(e.Subject, 200), subject)}
}

// deploymentKeys name the deployment below an endpoint, in the data or in the
// service's tags and properties. Events of managed endpoints have been
// announced with one; services of the first generation have none.
var deploymentKeys = newKeyList([]string{"deploymentName", "deployment", "deployment_name", "azureml.deploymentName"})

// modelDeployed reads serviceName, serviceComputeType, modelIds, serviceTags,
// serviceProperties; the subject is endpoints/{serviceId}.
func (p *Parser) modelDeployed(e *Event, d *document) *Problem {
	dep := &Deployment{Models: []ModelRef{}}
	for key, v := range d.members(d.root) {
		switch {
		case strings.EqualFold(key, "serviceName"):
			dep.Endpoint = d.name(v)
		case strings.EqualFold(key, "serviceComputeType"):
			dep.ComputeType = d.name(v)
		case strings.EqualFold(key, "modelIds"):
			dep.Models = d.modelRefs(v)
		case strings.EqualFold(key, "serviceTags"):
			dep.Tags = d.stringMap(v)
		case strings.EqualFold(key, "serviceProperties"):
			dep.Properties = d.stringMap(v)
		case strings.EqualFold(key, "deploymentName"):
			dep.Name = d.name(v)
		}
	}
	dep.Endpoint = strings.ToLower(cmp.Or(dep.Endpoint, segment(e.Subject, "endpoints")))
	if dep.Endpoint == "" {
		return badData(e, "which service", "serviceName", "endpoints/{serviceId}")
	}
	dep.Name = strings.ToLower(cmp.Or(dep.Name, dep.named(), segment(e.Subject, "deployments"), "default"))
	e.Kind, e.Deployment = ModelDeployed, dep
	return nil
}

// named is the deployment that tags or properties name.
func (dep *Deployment) named() string {
	for _, m := range []map[string]string{dep.Tags, dep.Properties} {
		if v := deploymentKeys.values(m); len(v) > 0 {
			return strings.TrimSpace(v[0])
		}
	}
	return ""
}

// modelRefs reads modelIds: "a:1,b:2", or an array of such, or of objects with
// a name and a version.
func (d *document) modelRefs(v span) []ModelRef {
	found := links[ModelRef]{limit: maxModels, list: []ModelRef{}}
	for link := range d.modelLinks(v) {
		if name, version := assetRef(link, "models"); name != "" {
			found.add(ModelRef{Name: name, Version: version})
		}
	}
	d.trimmed += found.dropped
	return found.list
}

func (d *document) modelLinks(v span) iter.Seq[string] {
	if !d.is(v, '[') {
		return listOf(d.scalar(v))
	}
	return func(yield func(string) bool) {
		for e := range d.elements(v) {
			link := d.name
			if d.is(e, '{') {
				link = d.modelObject
			}
			if !yield(link(e)) {
				return
			}
		}
	}
}

// modelObject is the link "name:version" for an object that spells it out.
func (d *document) modelObject(v span) string {
	var name, version string
	for key, v := range d.members(v) {
		switch {
		case strings.EqualFold(key, "name"), strings.EqualFold(key, "modelName"), strings.EqualFold(key, "id"):
			name = cmp.Or(name, d.name(v))
		case strings.EqualFold(key, "version"), strings.EqualFold(key, "modelVersion"):
			version = d.version(v)
		}
	}
	if version == "" {
		return name
	}
	return name + ":" + version
}
