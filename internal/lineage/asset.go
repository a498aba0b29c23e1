// Package lineage holds what is known about assets and how it came about:
// asset identities, the records that events leave behind, the reducer that
// writes them, walks over the graph, and the two ports (Queue, Store) that
// carry all of it.
package lineage

import (
	"fmt"
	"net/url"
	"strings"
)

// AssetKind is a kind of asset.
type AssetKind string

// Kinds of asset.
const (
	Data       AssetKind = "data"
	Job        AssetKind = "job"
	Model      AssetKind = "model"
	Endpoint   AssetKind = "endpoint"
	Deployment AssetKind = "deployment"
	Monitor    AssetKind = "monitor"
)

// ID names an asset: `kind/workspace/name[/version]`, for instance
// `model/contoso-ml/churn/12` or `deployment/contoso-ml/churn-ep/blue`.
// A model without a version (`model/contoso-ml/churn`) names the model as
// such, all its versions together. The segments are path-escaped, so a name
// with a slash can't be mistaken for two segments. An asset's ID is also its
// partition in the Store.
type ID string

// NewID builds an ID; empty trailing parts are left out.
func NewID(kind AssetKind, workspace, name string, version ...string) ID {
	var b strings.Builder
	b.WriteString(string(kind))
	b.WriteByte('/')
	b.WriteString(url.PathEscape(workspace))
	b.WriteByte('/')
	b.WriteString(url.PathEscape(name))
	for _, v := range version {
		if v != "" {
			b.WriteByte('/')
			b.WriteString(url.PathEscape(v))
		}
	}
	return ID(b.String())
}

// ParseID checks and splits a written id. The error says what is wrong.
func ParseID(s string) (ID, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 3 || len(parts) > 4 {
		return "", fmt.Errorf("asset %q: want kind/workspace/name[/version]", s)
	}
	switch AssetKind(parts[0]) {
	case Data, Job, Model, Endpoint, Deployment, Monitor:
	default:
		return "", fmt.Errorf("asset %q: unknown kind %q: want data, job, model, endpoint, deployment or monitor", s, parts[0])
	}
	out := parts[0]
	for _, p := range parts[1:] {
		u, err := url.PathUnescape(p)
		if err != nil || u == "" {
			return "", fmt.Errorf("asset %q: bad or empty segment %q", s, p)
		}
		out += "/" + url.PathEscape(u)
	}
	return ID(out), nil
}

// Kind is the first segment.
func (id ID) Kind() AssetKind {
	k, _, _ := strings.Cut(string(id), "/")
	return AssetKind(k)
}

// Workspace is the second segment, unescaped.
func (id ID) Workspace() string { return id.segment(1) }

// Name is the third segment, unescaped.
func (id ID) Name() string { return id.segment(2) }

// Version is the fourth segment, unescaped; "" when there is none.
func (id ID) Version() string { return id.segment(3) }

func (id ID) segment(n int) string {
	rest := string(id)
	for ; n > 0; n-- {
		var ok bool
		if _, rest, ok = strings.Cut(rest, "/"); !ok {
			return ""
		}
	}
	s, _, _ := strings.Cut(rest, "/")
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}
