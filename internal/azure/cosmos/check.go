package cosmos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Check finds out whether the Store can work: the container is there and as
// it must be, the account is consistent enough, and the identity may write,
// read and delete, which it does with one record. Its errors say what to do.
func (s *Store) Check(ctx context.Context) error {
	if err := s.retry(ctx, "", s.checkContainer); err != nil {
		return s.advise(err)
	}
	if err := s.checkConsistency(); err != nil {
		return fmt.Errorf("%s: %w", s.where(), err)
	}
	if err := s.probe(ctx); err != nil {
		return s.advise(err)
	}
	return nil
}

func (s *Store) checkContainer(ctx context.Context, c *conn) error {
	resp, err := c.container.Read(ctx, nil)
	if err != nil {
		return err
	}
	if faults := faultsOf(resp.ContainerProperties); faults != nil {
		return finalError{faults}
	}
	return nil
}

// enough are the consistency levels under which a read sees what another
// replica has just written. Source: "Consistency levels in Azure Cosmos DB":
// within the write region bounded staleness reads a quorum too.
var enough = []string{"Strong", "BoundedStaleness"}

func (s *Store) checkConsistency() error {
	a := s.conn.Load().account.Load()
	if a == nil {
		return errors.New("the account does not tell its consistency level")
	}
	if level := a.Consistency.Default; !slices.Contains(enough, level) {
		return fmt.Errorf("the account's default consistency is %s: a worker could miss a record that another replica has just written. "+
			"Set Strong (or BoundedStaleness with one write region): az cosmosdb update -g GROUP -n %s --default-consistency-level Strong", level, s.account())
	}
	return nil
}

// probe writes, reads and deletes a record in a partition of its own.
func (s *Store) probe(ctx context.Context) error {
	const partition = "modelwarden/check"
	probe := lineage.Change{Op: lineage.Create, Record: lineage.Record{
		ID: "probe/" + newMark(), Body: []byte("written by modelwarden check"), Expires: time.Now().Add(time.Hour), // should the delete fail
	}}
	versions, err := s.Commit(ctx, partition, []lineage.Change{probe})
	if err != nil {
		return err
	}
	got, err := s.Get(ctx, partition, probe.Record.ID)
	if err == nil && got[0].Version != versions[0] {
		err = errors.New("a record that was just written is not read back")
	}
	probe.Op, probe.Record.Version = lineage.Delete, versions[0]
	_, removed := s.Commit(ctx, partition, []lineage.Change{probe})
	return errors.Join(err, removed)
}

// advise adds to an error what an operator can do about it.
func (s *Store) advise(err error) error {
	advice := ""
	switch {
	case isStatus(err, http.StatusForbidden) && s.options.Credential != nil:
		advice = fmt.Sprintf("\nthe identity lacks the data-plane role \"Cosmos DB Built-in Data Contributor\" (roles in the portal's access control do not count): "+
			"az cosmosdb sql role assignment create -g GROUP -a %s --role-definition-id 00000000-0000-0000-0000-000000000002 --principal-id PRINCIPAL --scope /dbs/%s/colls/%s. "+
			"Where the role is assigned, look whether the account's firewall lets this machine in", s.account(), s.options.Database, s.options.Container)
	case isStatus(err, http.StatusForbidden):
		advice = "\nthe account refuses this machine or this key: look at its firewall, whether local authentication is disabled, and this machine's clock"
	case isStatus(err, http.StatusUnauthorized) && s.options.Credential != nil:
		advice = "\nthe account does not accept the identity's token: it must come from the account's own tenant"
	case isStatus(err, http.StatusUnauthorized):
		advice = "\nthe key is not this account's"
	case isStatus(err, http.StatusNotFound):
		advice = "\nit has to be created first: `modelwarden init` with a key, or the Terraform module in infra/"
	}
	return fmt.Errorf("%s: %w%s", s.where(), err, advice)
}

// account is the account's name, the first label of its host.
func (s *Store) account() string {
	u, err := url.Parse(s.options.Endpoint)
	if err != nil {
		return s.options.Endpoint
	}
	name, _, _ := strings.Cut(u.Hostname(), ".")
	return name
}
