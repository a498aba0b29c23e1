package cosmos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// What the container has to be.
const (
	partitionKeyPath = "/pk"
	// partitionKeyVersion 2 tells long partition keys apart; version 1 looks
	// at the first 101 bytes only. Source: "Create containers with large
	// partition key".
	partitionKeyVersion = 2
	// noDefaultTTL lets items that say so expire, and no others.
	noDefaultTTL = -1
)

// indexedPaths are all that is queried, beside the id, which always is
// indexed. Indexing more would make every write dearer.
var indexedPaths = []string{"/pk/?", "/o/?"}

func containerProperties(id string) azcosmos.ContainerProperties {
	ttl := int32(noDefaultTTL)
	policy := &azcosmos.IndexingPolicy{
		Automatic: true, IndexingMode: azcosmos.IndexingModeConsistent,
		ExcludedPaths: []azcosmos.ExcludedPath{{Path: "/*"}},
	}
	for _, p := range indexedPaths {
		policy.IncludedPaths = append(policy.IncludedPaths, azcosmos.IncludedPath{Path: p})
	}
	return azcosmos.ContainerProperties{
		ID: id, DefaultTimeToLive: &ttl, IndexingPolicy: policy,
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{
			Kind: azcosmos.PartitionKeyKindHash, Paths: []string{partitionKeyPath}, Version: partitionKeyVersion,
		},
	}
}

// Provision creates the database and the container where they are missing,
// and leaves alone what is there. An identity cannot: on the data plane only
// a key may create them ("Use data plane role-based access control with Azure
// Cosmos DB for NoSQL"), so for identities the error says how to have it done.
func (s *Store) Provision(ctx context.Context) error {
	err := s.retry(ctx, "", func(ctx context.Context, c *conn) error {
		if err := s.exists(ctx, c); !isStatus(err, http.StatusNotFound) {
			return err
		}
		return s.create(ctx, c)
	})
	switch {
	case isStatus(err, http.StatusForbidden) || isStatus(err, http.StatusUnauthorized):
		return fmt.Errorf("%s cannot be created: %w\n%s", s.where(), err, s.byHand())
	case err != nil:
		return fmt.Errorf("create %s: %w", s.where(), err)
	}
	return nil
}

// exists is nil when the container is there.
func (s *Store) exists(ctx context.Context, c *conn) error {
	_, err := c.container.Read(ctx, nil)
	return err
}

// create makes what is missing; somebody else may be faster.
func (s *Store) create(ctx context.Context, c *conn) error {
	_, err := c.client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: s.options.Database}, nil)
	if err != nil && !isStatus(err, http.StatusConflict) {
		return err
	}
	_, err = c.database.CreateContainer(ctx, containerProperties(s.options.Container), nil)
	if err != nil && !isStatus(err, http.StatusConflict) {
		return err
	}
	return nil
}

// byHand says what to do instead of Provision.
func (s *Store) byHand() string {
	return fmt.Sprintf(`an identity may not create databases or containers on the data plane: apply the Terraform module in infra/, or run
  az cosmosdb sql database create -g GROUP -a %[1]s -n %[2]s
  az cosmosdb sql container create -g GROUP -a %[1]s -d %[2]s -n %[3]s -p /pk --partition-key-version 2 --ttl -1 --idx '{"indexingMode":"consistent","automatic":true,"includedPaths":[{"path":"/pk/?"},{"path":"/o/?"}],"excludedPaths":[{"path":"/*"}]}'`,
		s.account(), s.options.Database, s.options.Container)
}

func isStatus(err error, status int) bool {
	var resp *azcore.ResponseError
	return errors.As(err, &resp) && resp.StatusCode == status
}

// faultsOf finds out what about a container is not as it must be, each with
// what to do.
func faultsOf(p *azcosmos.ContainerProperties) error {
	var faults []error
	key := p.PartitionKeyDefinition
	if !slices.Equal(key.Paths, []string{partitionKeyPath}) {
		faults = append(faults, fmt.Errorf("its partition key is %q and must be %q: a container's cannot be changed, create another one", key.Paths, partitionKeyPath))
	}
	if key.Version < partitionKeyVersion {
		faults = append(faults, errors.New("its partition key has version 1, which looks at the first 101 bytes only: create the container with version 2"))
	}
	if p.DefaultTimeToLive == nil || *p.DefaultTimeToLive != noDefaultTTL {
		faults = append(faults, errors.New("its time to live must be on without a default (az cosmosdb sql container update ... --ttl -1)"))
	}
	return errors.Join(append(faults, indexFaults(p.IndexingPolicy)...)...)
}

// indexFaults asks for the paths that listings sort by. What is indexed beyond
// them costs request units and is not a fault.
func indexFaults(p *azcosmos.IndexingPolicy) []error {
	const advice = `set --idx '{"indexingMode":"consistent","automatic":true,"includedPaths":[{"path":"/pk/?"},{"path":"/o/?"}],"excludedPaths":[{"path":"/*"}]}'`
	if p == nil || strings.EqualFold(string(p.IndexingMode), string(azcosmos.IndexingModeNone)) {
		return []error{fmt.Errorf("it has no index: %s", advice)}
	}
	var faults []error
	for _, path := range indexedPaths {
		if !indexes(p, path) {
			faults = append(faults, fmt.Errorf("its indexing policy leaves out %s: %s", path, advice))
		}
	}
	return faults
}

// indexes says whether a policy covers a path of one step: a rule for the
// path itself goes before one for everything.
func indexes(p *azcosmos.IndexingPolicy, path string) bool {
	included := slices.ContainsFunc(p.IncludedPaths, func(i azcosmos.IncludedPath) bool { return covers(i.Path, path) })
	all := slices.ContainsFunc(p.IncludedPaths, func(i azcosmos.IncludedPath) bool { return i.Path == "/*" })
	excluded := slices.ContainsFunc(p.ExcludedPaths, func(e azcosmos.ExcludedPath) bool { return covers(e.Path, path) })
	return included || all && !excluded
}

// covers says whether a rule names the path: "/o/?" and "/o/*" both do.
func covers(rule, path string) bool {
	return rule == path || rule == path[:len(path)-1]+"*"
}
