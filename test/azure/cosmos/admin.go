package cosmos

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// database is a named set of containers.
type database struct {
	entity
	containers map[string]*container
}

// entity is what databases and containers have in common.
type entity struct {
	id, rid, etag string
	ts            int64
}

func (s *Server) newEntity(id string, now time.Time) entity {
	return entity{id: id, rid: s.newID(), etag: s.newETag(), ts: now.Unix()}
}

func (e *entity) properties() map[string]any {
	return map[string]any{"id": e.id, "_rid": e.rid, "_self": "dbs/" + e.rid + "/", "_etag": e.etag, "_ts": e.ts}
}

// CreateDatabase makes a database that does not exist yet; it panics when the
// id is no good.
func (s *Server) CreateDatabase(id string) {
	if err := checkID(id); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.databases[id] == nil {
		s.databases[id] = &database{s.newEntity(id, s.options.Clock.Now()), map[string]*container{}}
	}
}

// CreateContainer makes a container, and its database if need be. One that
// exists is replaced by an empty one. It panics when an id or the options are
// no good.
func (s *Server) CreateContainer(db, id string, o ContainerOptions) {
	d := define(id, o)
	if err := d.check(); err != nil {
		panic(err)
	}
	s.CreateDatabase(db)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.databases[db].containers[id] = s.newContainer(d, s.options.Clock.Now())
}

func createDatabase(c *call) (*answer, error) {
	var d struct {
		ID string `json:"id"`
	}
	if err := c.decode(&d); err != nil {
		return nil, err
	}
	if err := checkID(d.ID); err != nil {
		return nil, err
	}
	if c.server.databases[d.ID] != nil {
		return nil, conflict()
	}
	db := &database{c.server.newEntity(d.ID, c.now), map[string]*container{}}
	c.server.databases[d.ID] = db
	return entityAnswer(http.StatusCreated, &db.entity, db.describe()), nil
}

func (c *call) decode(v any) error {
	if err := json.Unmarshal(c.body, v); err != nil {
		return badRequest("The input content is invalid because the required properties are missing or malformed: %v", err)
	}
	return nil
}

func (db *database) describe() map[string]any {
	p := db.properties()
	p["_colls"], p["_users"] = "colls/", "users/"
	return p
}

func entityAnswer(status int, e *entity, properties map[string]any) *answer {
	const charge = 2
	a := newAnswer(status, marshal(properties), charge)
	a.header.Set("etag", e.etag)
	return a
}

func readDatabase(c *call) (*answer, error) {
	return entityAnswer(http.StatusOK, &c.database.entity, c.database.describe()), nil
}

func deleteDatabase(c *call) (*answer, error) {
	delete(c.server.databases, c.databaseID)
	return newAnswer(http.StatusNoContent, nil, 2), nil
}

func listDatabases(c *call) (*answer, error) {
	var all []any
	for _, id := range slices.Sorted(maps.Keys(c.server.databases)) {
		all = append(all, c.server.databases[id].describe())
	}
	return feed("", "Databases", all, 2), nil
}

func (s *Server) newContainer(d definition, now time.Time) *container {
	return &container{
		entity: s.newEntity(d.ID, now), definition: d, partitions: map[string]*partition{},
		bucket: bucket{rate: s.options.Throughput, level: s.options.Throughput, at: now},
	}
}

func (ct *container) describe() map[string]any {
	var p map[string]any
	// A definition is made of what JSON can hold: neither call can fail.
	_ = json.Unmarshal(marshal(ct.definition), &p)
	maps.Copy(p, ct.properties())
	p["_docs"], p["_sprocs"], p["_triggers"], p["_udfs"], p["_conflicts"] = "docs/", "sprocs/", "triggers/", "udfs/", "conflicts/"
	return p
}

func createContainer(c *call) (*answer, error) {
	var d definition
	if err := c.decode(&d); err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if c.database.containers[d.ID] != nil {
		return nil, conflict()
	}
	ct := c.server.newContainer(d, c.now)
	c.database.containers[d.ID] = ct
	return entityAnswer(http.StatusCreated, &ct.entity, ct.describe()), nil
}

func readContainer(c *call) (*answer, error) {
	a := entityAnswer(http.StatusOK, &c.container.entity, c.container.describe())
	if c.is("x-ms-documentdb-populatequotainfo") {
		a.header.Set("x-ms-resource-usage", "documentsCount="+strconv.Itoa(c.container.count(c.now))+";")
	}
	return a, nil
}

// replaceContainer changes all but the id and the partition key.
func replaceContainer(c *call) (*answer, error) {
	var d definition
	if err := c.decode(&d); err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if d.ID != c.containerID || d.PartitionKey.Paths[0] != c.container.definition.PartitionKey.Paths[0] {
		return nil, badRequest("The id and the partition key of a container cannot be changed.")
	}
	if match := c.Header.Get("If-Match"); match != "" && match != "*" && match != c.container.etag {
		return nil, preconditionFailed()
	}
	d.PartitionKey = c.container.definition.PartitionKey
	c.container.definition = d
	c.container.etag, c.container.ts = c.server.newETag(), c.now.Unix()
	return entityAnswer(http.StatusOK, &c.container.entity, c.container.describe()), nil
}

func deleteContainer(c *call) (*answer, error) {
	delete(c.database.containers, c.containerID)
	return newAnswer(http.StatusNoContent, nil, 2), nil
}

func listContainers(c *call) (*answer, error) {
	all := slices.SortedFunc(maps.Values(c.database.containers), func(a, b *container) int { return cmp.Compare(a.id, b.id) })
	described := make([]any, len(all))
	for i, ct := range all {
		described[i] = ct.describe()
	}
	return feed(c.database.rid, "DocumentCollections", described, 2), nil
}
