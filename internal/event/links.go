package event

import (
	"iter"
	"slices"
	"strings"
)

// Bounds of what one event may link to; what lies beyond them is counted in
// Event.Trimmed.
const (
	maxModels = 1000 // that a deployment serves
	maxInputs = 256  // data assets that a run read
)

// links collects distinct links up to a bound.
type links[T comparable] struct {
	limit int
	list  []T
	// dropped counts the links beyond the limit, each as often as it came.
	dropped int
	// seen holds what is in list once that is too long to search.
	seen map[T]struct{}
}

// searchable is how many links are cheaper to look through than to hash.
const searchable = 16

func (l *links[T]) add(link T) {
	switch {
	case l.has(link):
	case len(l.list) >= l.limit:
		l.dropped++
	default:
		l.list = append(l.list, link)
		l.index()
	}
}

func (l *links[T]) has(link T) bool {
	if l.seen == nil {
		return slices.Contains(l.list, link)
	}
	_, ok := l.seen[link]
	return ok
}

// index keeps seen up with the last link of a long list.
func (l *links[T]) index() {
	if len(l.list) <= searchable {
		return
	}
	if l.seen == nil {
		l.seen = make(map[T]struct{}, 2*searchable)
		for _, link := range l.list {
			l.seen[link] = struct{}{}
		}
		return
	}
	l.seen[l.list[len(l.list)-1]] = struct{}{}
}

// keyList finds values under keys that compare without case, in the order of
// the list.
type keyList struct {
	rank map[string]int // by key in lower case
	// sized tells the lengths that keys of the list have. Most keys of a map
	// fail this test, and are not looked up.
	sized [64]bool
}

func newKeyList(keys []string) keyList {
	l := keyList{rank: make(map[string]int, len(keys))}
	for _, k := range keys {
		k = strings.ToLower(k)
		if _, twice := l.rank[k]; !twice {
			l.rank[k] = len(l.rank)
		}
		l.sized[len(k)%len(l.sized)] = true
	}
	return l
}

// values are m's values under the list's keys, in the list's order, empty ones
// left out; of keys that differ in case only, the one first in byte order
// counts.
func (l *keyList) values(m map[string]string) []string {
	var keys []string // of m, by rank
	for k, v := range m {
		if v == "" || !l.sized[len(k)%len(l.sized)] {
			continue
		}
		i, ok := l.rank[strings.ToLower(k)]
		if !ok {
			continue
		}
		if keys == nil {
			keys = make([]string, len(l.rank))
		}
		if keys[i] == "" || k < keys[i] {
			keys[i] = k
		}
	}
	out := keys[:0]
	for _, k := range keys {
		if k != "" {
			out = append(out, m[k])
		}
	}
	return out
}

// producingRun is the run that a model's properties, else its tags, name.
func (p *Parser) producingRun(properties, tags map[string]string) string {
	for _, m := range []map[string]string{properties, tags} {
		for _, v := range p.modelJobKeys.values(m) {
			if run := runFrom(v); run != "" {
				return run
			}
		}
	}
	return ""
}

// runFrom reads a run id out of a link: the bare id, or a URI of something
// that the run made.
//
//	sincere_yak_7f3
//	runs:/sincere_yak_7f3/model
//	azureml://artifacts/sincere_yak_7f3/model
//	azureml://jobs/sincere_yak_7f3/outputs/artifacts/paths/model
//	azureml:/subscriptions/…/experiments/churn/runs/sincere_yak_7f3
//	azureml://…/datastores/…/paths/ExperimentRun/dcid.sincere_yak_7f3/model
func runFrom(link string) string {
	link = strings.TrimSpace(link)
	if rest, ok := cutPrefixFold(link, "runs:"); ok {
		run, _, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		return runID(run)
	}
	if !strings.ContainsAny(link, "/:") {
		return runID(link)
	}
	for s := range strings.SplitSeq(link, "/") {
		if run, ok := cutPrefixFold(s, "dcid."); ok {
			return runID(run)
		}
	}
	for _, name := range []string{"runs", "jobs", "artifacts"} {
		if run := runID(segment(link, name)); run != "" {
			return run
		}
	}
	return ""
}

// runID checks what should be a run id, and takes the prefix off that ids of
// data containers have. Azure's run ids have at most 256 characters.
func runID(s string) string {
	if id, ok := cutPrefixFold(s, "dcid."); ok {
		s = id
	}
	if len(s) > 256 || strings.ContainsAny(s, " \t\r\n/\\:@?#{}[]\"'<>,;") {
		return ""
	}
	return s
}

// inputs are the data assets that a run's properties and tags name, and how
// many more they name than an event may link to.
func (p *Parser) inputs(properties, tags map[string]string) (refs []DataRef, dropped int) {
	found := links[DataRef]{limit: maxInputs}
	for _, m := range []map[string]string{properties, tags} {
		for _, v := range p.dataInputKeys.values(m) {
			for s := range listOf(v) {
				if ref, ok := dataRef(s); ok {
					found.add(ref)
				}
			}
		}
	}
	return found.list, found.dropped
}

// listOf reads one or many links out of a value: one, several with commas
// between them, or a JSON array of strings.
func listOf(value string) iter.Seq[string] {
	value = strings.TrimSpace(value)
	if strings.HasPrefix(value, "[") {
		if d, ok := newDocument([]byte(value)); ok {
			return d.texts(d.root)
		}
		value = strings.Trim(value, "[]")
	}
	return func(yield func(string) bool) {
		for s := range strings.SplitSeq(value, ",") {
			if !yield(strings.Trim(s, " \t\r\n\"'")) {
				return
			}
		}
	}
}

// texts yields the elements of the array at v as text.
func (d *document) texts(v span) iter.Seq[string] {
	return func(yield func(string) bool) {
		for e := range d.elements(v) {
			if !yield(d.name(e)) {
				return
			}
		}
	}
}

// dataRef reads a link to a data asset: azureml:name:7, name:7, name@latest,
// or a URI or ARM id with /data/name/versions/7 in it. A label such as latest
// names no version for good, so the version stays empty.
func dataRef(link string) (DataRef, bool) {
	name, version := assetRef(link, "data")
	if name == "" {
		return DataRef{}, false
	}
	return DataRef{Name: name, Version: version}, true
}

// assetRef splits a link to a versioned asset; collection is the segment that
// precedes its name in a URI. The name is "" when the link is something else.
func assetRef(link, collection string) (name, version string) {
	link = strings.TrimSpace(link)
	if strings.Contains(link, "/") {
		name, version = segment(link, collection), segment(link, "versions")
	} else {
		link, _ = cutPrefixFold(link, "azureml:")
		name, version = cutLast(link, ':')
		name, _, _ = strings.Cut(name, "@")
	}
	if len(name) > 255 || len(version) > 255 || strings.ContainsAny(name+version, " \t\r\n\"'{}[]") {
		return "", ""
	}
	return name, version
}

// cutLast splits s at the last sep; without one, all of s comes first.
func cutLast(s string, sep byte) (before, after string) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if hasPrefixFold(s, prefix) {
		return s[len(prefix):], true
	}
	return s, false
}
