package event

import "strings"

// machineLearning is the part of an ARM id that precedes a workspace's name.
const machineLearning = "/providers/microsoft.machinelearningservices/workspaces/"

// workspaceOf reads the workspace out of the ARM id of it or of something
// within it. ARM ids compare without case; the result is in lower case.
func workspaceOf(armID string) (id, name string, ok bool) {
	id = strings.ToLower(strings.TrimSpace(armID))
	if !strings.HasPrefix(id, "/") {
		id = "/" + id
	}
	if !strings.HasPrefix(id, "/subscriptions/") {
		return "", "", false
	}
	before, rest, found := strings.Cut(id, machineLearning)
	name, _, _ = strings.Cut(rest, "/")
	if !found || name == "" {
		return "", "", false
	}
	return id[:len(before)+len(machineLearning)+len(name)], name, true
}

// Workspace names the workspace that an ARM id lies in, by its configured
// alias or else by its own name.
func (p *Parser) Workspace(armID string) (Workspace, bool) {
	id, name, ok := workspaceOf(armID)
	if !ok {
		return Workspace{}, false
	}
	if alias := p.aliases[id]; alias != "" {
		name = alias
	}
	return Workspace{Alias: name, ID: id}, true
}

// segment is what follows the segment called name in a path such as
// "experiments/x/runs/y" or an ARM id; "" where there is none. Names of
// segments compare without case.
func segment(path, name string) string {
	for path != "" {
		var s string
		s, path, _ = strings.Cut(path, "/")
		if strings.EqualFold(s, name) {
			next, _, _ := strings.Cut(path, "/")
			return next
		}
	}
	return ""
}
