package cosmos

import (
	"encoding/json"
	"slices"
	"strings"
)

// ContainerOptions describe a container that a test creates.
type ContainerOptions struct {
	// PartitionKey is the path of the partition key. Defaults to "/pk".
	PartitionKey string
	// DefaultTTL is after how many seconds items expire: 0 turns expiry off
	// even for items that have a ttl, -1 leaves it to them.
	DefaultTTL int
	// IncludedPaths are the paths that are indexed, as "/a/?" or "/a/*";
	// everything else is not. nil indexes everything.
	IncludedPaths []string
	// CompositeIndexes allow ORDER BY of several properties, each as "/a" or
	// "/a desc".
	CompositeIndexes [][]string
}

// definition is a container's as the REST API has it.
type definition struct {
	ID           string          `json:"id"`
	PartitionKey partitionKeyDef `json:"partitionKey"`
	DefaultTTL   *int            `json:"defaultTtl,omitempty"`
	Indexing     *indexingPolicy `json:"indexingPolicy,omitempty"`
	// Others are kept and given back.
	UniqueKeys          json.RawMessage `json:"uniqueKeyPolicy,omitempty"`
	ConflictResolution  json.RawMessage `json:"conflictResolutionPolicy,omitempty"`
	GeospatialConfig    json.RawMessage `json:"geospatialConfig,omitempty"`
	VectorEmbeddings    json.RawMessage `json:"vectorEmbeddingPolicy,omitempty"`
	FullText            json.RawMessage `json:"fullTextPolicy,omitempty"`
	ComputedProperties  json.RawMessage `json:"computedProperties,omitempty"`
	AnalyticalTTL       json.RawMessage `json:"analyticalStorageTtl,omitempty"`
	ClientEncryptPolicy json.RawMessage `json:"clientEncryptionPolicy,omitempty"`
}

type partitionKeyDef struct {
	Paths   []string `json:"paths"`
	Kind    string   `json:"kind"`
	Version int      `json:"version,omitempty"`
}

type indexingPolicy struct {
	Mode      string             `json:"indexingMode"`
	Automatic *bool              `json:"automatic,omitempty"`
	Included  []indexPath        `json:"includedPaths"`
	Excluded  []indexPath        `json:"excludedPaths"`
	Composite [][]compositeIndex `json:"compositeIndexes,omitempty"`
}

type indexPath struct {
	Path    string          `json:"path"`
	Indexes json.RawMessage `json:"indexes,omitempty"`
}

type compositeIndex struct {
	Path  string `json:"path"`
	Order string `json:"order"`
}

// define turns options into a definition.
func define(id string, o ContainerOptions) definition {
	if o.PartitionKey == "" {
		o.PartitionKey = "/pk"
	}
	d := definition{ID: id, PartitionKey: partitionKeyDef{[]string{o.PartitionKey}, "Hash", 2}}
	if o.DefaultTTL != 0 {
		d.DefaultTTL = &o.DefaultTTL
	}
	policy := defaultIndexing()
	if o.IncludedPaths != nil {
		policy.Included, policy.Excluded = nil, []indexPath{{Path: "/*"}}
		for _, p := range o.IncludedPaths {
			policy.Included = append(policy.Included, indexPath{Path: p})
		}
	}
	for _, paths := range o.CompositeIndexes {
		var index []compositeIndex
		for _, p := range paths {
			name, desc := strings.CutSuffix(p, " desc")
			index = append(index, compositeIndex{name, map[bool]string{true: "descending", false: "ascending"}[desc]})
		}
		policy.Composite = append(policy.Composite, index)
	}
	d.Indexing = policy
	return d
}

// defaultIndexing is what the service gives a container without a policy.
func defaultIndexing() *indexingPolicy {
	yes := true
	return &indexingPolicy{
		Mode: "consistent", Automatic: &yes,
		Included: []indexPath{{Path: "/*"}}, Excluded: []indexPath{{Path: `/"_etag"/?`}},
	}
}

// check completes a definition that a client sent.
func (d *definition) check() error {
	if err := checkID(d.ID); err != nil {
		return err
	}
	if len(d.PartitionKey.Paths) != 1 || !strings.HasPrefix(d.PartitionKey.Paths[0], "/") {
		return badRequest("The server simulates containers with one partition key path; the definition has %q.", d.PartitionKey.Paths)
	}
	if d.DefaultTTL != nil && (*d.DefaultTTL == 0 || *d.DefaultTTL < -1) {
		return badRequest("The specified value %d for defaultTtl is invalid: it must be -1 or positive.", *d.DefaultTTL)
	}
	if d.PartitionKey.Kind == "" {
		d.PartitionKey.Kind = "Hash"
	}
	if d.Indexing == nil {
		d.Indexing = defaultIndexing()
	}
	d.Indexing.Mode = strings.ToLower(d.Indexing.Mode)
	if d.Indexing.Mode == "" {
		d.Indexing.Mode = "consistent"
	}
	for _, p := range slices.Concat(d.Indexing.Included, d.Indexing.Excluded) {
		if !strings.HasPrefix(p.Path, "/") || !strings.HasSuffix(p.Path, "/?") && !strings.HasSuffix(p.Path, "/*") {
			return badRequest("The indexing path '%s' could not be accepted: it must begin with / and end in /? or /*.", p.Path)
		}
	}
	return nil
}

// indexed says whether the property at path (as "/a/b") is in the index: the
// longest rule that fits decides. id and _ts always are, while there is an
// index at all.
func (p *indexingPolicy) indexed(path string) bool {
	if p.Mode == "none" {
		return false
	}
	if path == "/id" || path == "/_ts" {
		return true
	}
	return longest(p.Included, path) > longest(p.Excluded, path)
}

// longest is the length of the longest rule that covers path, -1 if none does.
func longest(rules []indexPath, path string) int {
	best := -1
	for _, r := range rules {
		rule := strings.ReplaceAll(r.Path, `"`, "")
		exact, single := strings.CutSuffix(rule, "/?")
		prefix := strings.TrimSuffix(rule, "/*")
		covers := single && path == exact || !single && (path == prefix || strings.HasPrefix(path, prefix+"/"))
		if covers {
			best = max(best, len(rule))
		}
	}
	return best
}

// composite says whether a composite index serves a sort order, as it is or
// all turned round.
func (p *indexingPolicy) composite(paths []string, desc []bool) bool {
	return slices.ContainsFunc(p.Composite, func(index []compositeIndex) bool {
		if len(index) != len(paths) {
			return false
		}
		forth, back := true, true
		for i, part := range index {
			down := part.Order == "descending"
			forth = forth && part.Path == paths[i] && down == desc[i]
			back = back && part.Path == paths[i] && down != desc[i]
		}
		return forth || back
	})
}
