package cosmos_test

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// TestContainers changes what can be changed.
func TestContainers(t *testing.T) {
	s := cosmos.New(cosmos.Options{})
	c := client(t, s)
	if _, err := c.CreateDatabase(t.Context(), azcosmos.DatabaseProperties{ID: "db"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateDatabase(t.Context(), azcosmos.DatabaseProperties{ID: "db"}, nil); status(t, err) != 409 {
		t.Errorf("create a database again: %v", err)
	}
	db, err := c.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	properties := azcosmos.ContainerProperties{ID: "items", PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}}}
	if _, err := db.CreateContainer(t.Context(), properties, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateContainer(t.Context(), properties, nil); status(t, err) != 409 {
		t.Errorf("create a container again: %v", err)
	}
	ct, err := db.NewContainer("items")
	if err != nil {
		t.Fatal(err)
	}
	ttl := int32(60)
	properties.DefaultTimeToLive = &ttl
	if _, err := ct.Replace(t.Context(), properties, nil); err != nil {
		t.Errorf("replace: %v", err)
	}
	if got, err := ct.Read(t.Context(), nil); err != nil || *got.ContainerProperties.DefaultTimeToLive != 60 || len(got.ContainerProperties.IndexingPolicy.IncludedPaths) != 1 {
		t.Errorf("read: %+v, %v", got.ContainerProperties, err)
	}
	properties.PartitionKeyDefinition.Paths = []string{"/other"}
	if _, err := ct.Replace(t.Context(), properties, nil); status(t, err) != 400 {
		t.Errorf("another partition key: %v", err)
	}
	if _, err := ct.Delete(t.Context(), nil); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := ct.Read(t.Context(), nil); status(t, err) != 404 {
		t.Errorf("read what was deleted: %v", err)
	}
	if _, err := db.Delete(t.Context(), nil); err != nil {
		t.Errorf("delete the database: %v", err)
	}
}
