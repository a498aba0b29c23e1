package ml

import (
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
)

// segment is the path segment after the one named, without regard to case.
func segment(link, name string) string {
	parts := strings.Split(link, "/")
	for i := 0; i+1 < len(parts); i++ {
		if strings.EqualFold(parts[i], name) {
			return parts[i+1]
		}
	}
	return ""
}

// versioned splits a reference to a versioned asset: an ARM id or URI with
// /<collection>/<name>/versions/<version>, azureml:<name>:<version>, or
// azureml:<name>@<label>, of which the version stays empty.
func versioned(link, collection string) (name, version string) {
	if strings.Contains(link, "/") {
		return segment(link, collection), segment(link, "versions")
	}
	link = strings.TrimPrefix(link, "azureml:")
	if name, _, labelled := strings.Cut(link, "@"); labelled {
		return name, ""
	}
	if i := strings.LastIndexByte(link, ':'); i >= 0 {
		return link[:i], link[i+1:]
	}
	return link, ""
}

// short writes the ARM id of a versioned asset of the workspace the way people
// do, azureml:<name>:<version>; that of a compute as its name. Everything else
// stays as it is.
func (p place) short(id string) string {
	if len(id) <= len(p.id()) || !strings.EqualFold(id[:len(p.id())], p.id()) {
		return id
	}
	parts := strings.Split(strings.Trim(id[len(p.id()):], "/"), "/")
	switch {
	case len(parts) == 4 && strings.EqualFold(parts[2], "versions"):
		return "azureml:" + parts[1] + ":" + parts[3]
	case len(parts) == 2:
		return parts[1]
	}
	return id
}

// long is the ARM id of azureml:<name>:<version>; an id stays as it is.
func (p place) long(collection, ref string) string {
	if strings.Contains(ref, "/") {
		return ref
	}
	name, version := versioned(ref, collection)
	if name == "" || version == "" {
		return ref
	}
	return p.id() + "/" + collection + "/" + name + "/versions/" + version
}

func modelRef(link string) event.ModelRef {
	name, version := versioned(link, "models")
	return event.ModelRef{Name: name, Version: version}
}

// snake turns Azure's name of a signal's type (DataDrift) into the one that
// events carry (data_drift).
func snake(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}
