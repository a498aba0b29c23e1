package cosmos

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Operation is what a request asks for.
type Operation string

// Operations of the server.
const (
	ReadAccount       Operation = "ReadAccount"
	CreateDatabase    Operation = "CreateDatabase"
	ReadDatabase      Operation = "ReadDatabase"
	DeleteDatabase    Operation = "DeleteDatabase"
	ListDatabases     Operation = "ListDatabases"
	CreateContainer   Operation = "CreateContainer"
	ReadContainer     Operation = "ReadContainer"
	ReplaceContainer  Operation = "ReplaceContainer"
	DeleteContainer   Operation = "DeleteContainer"
	ListContainers    Operation = "ListContainers"
	ListPartitionKeys Operation = "ListPartitionKeyRanges"
	CreateItem        Operation = "CreateItem"
	ReadItem          Operation = "ReadItem"
	UpsertItem        Operation = "UpsertItem"
	ReplaceItem       Operation = "ReplaceItem"
	DeleteItem        Operation = "DeleteItem"
	ListItems         Operation = "ListItems"
	Query             Operation = "Query"
	QueryPlan         Operation = "QueryPlan"
	Batch             Operation = "Batch"
)

// handlers perform operations, each under the server's lock.
var handlers = map[Operation]func(*call) (*answer, error){
	ReadAccount:       readAccount,
	CreateDatabase:    createDatabase,
	ReadDatabase:      readDatabase,
	DeleteDatabase:    deleteDatabase,
	ListDatabases:     listDatabases,
	CreateContainer:   createContainer,
	ReadContainer:     readContainer,
	ReplaceContainer:  replaceContainer,
	DeleteContainer:   deleteContainer,
	ListContainers:    listContainers,
	ListPartitionKeys: listPartitionKeyRanges,
	CreateItem:        createItem,
	ReadItem:          readItem,
	UpsertItem:        upsertItem,
	ReplaceItem:       replaceItem,
	DeleteItem:        deleteItem,
	ListItems:         listItems,
	Query:             queryItems,
	QueryPlan:         planQuery,
	Batch:             batchItems,
}

// writes are the operations that a reader may not perform.
var writes = map[Operation]bool{
	CreateItem: true, UpsertItem: true, ReplaceItem: true, DeleteItem: true, Batch: true,
}

// administers are the operations that an Entra principal may not perform.
var administers = map[Operation]bool{
	CreateDatabase: true, DeleteDatabase: true, CreateContainer: true, ReplaceContainer: true, DeleteContainer: true,
}

// call is one request on its way through the server.
type call struct {
	*http.Request
	server *Server
	op     Operation
	fault  Fault
	// link names the resource, resource its type, as signatures have them.
	link, resource string
	// database, container and item are the ids in the path.
	databaseID, containerID, itemID string
	routeErr                        error
	body                            []byte
	now                             time.Time
	database                        *database
	container                       *container
	changes                         []change
}

func newCall(s *Server, r *http.Request) *call {
	c := &call{Request: r, server: s}
	c.routeErr = c.route()
	return c
}

// segments are the types of resources on the way down, as paths have them.
var segments = []string{"dbs", "colls", "docs"}

// route takes the path apart: pairs of type and id, the last id missing when
// the request speaks to the feed.
func (c *call) route() error {
	path := strings.Trim(c.URL.EscapedPath(), "/")
	if path == "" {
		c.op = ReadAccount
		return c.allow(http.MethodGet, http.MethodHead)
	}
	parts := strings.Split(path, "/")
	ids := []*string{&c.databaseID, &c.containerID, &c.itemID}
	for i, part := range parts {
		if i%2 == 1 {
			id, err := url.PathUnescape(part)
			if err != nil {
				return badRequest("The id %q in the path is not escaped properly", part)
			}
			*ids[i/2] = id
		} else if len(parts) > 6 || part != segments[i/2] && (i != 4 || part != "pkranges") {
			return failed(http.StatusNotFound, "", "The server does not simulate the resource "+path)
		}
	}
	feed := len(parts)%2 == 1
	c.resource = parts[(len(parts)-1)/2*2]
	c.link = path
	if feed {
		c.link = strings.Join(parts[:len(parts)-1], "/")
	}
	c.op = c.operation(len(parts), feed)
	if c.op == "" {
		return failed(http.StatusMethodNotAllowed, "", "The server does not simulate "+c.Method+" of "+path)
	}
	return nil
}

func (c *call) allow(methods ...string) error {
	for _, m := range methods {
		if c.Method == m {
			return nil
		}
	}
	return failed(http.StatusMethodNotAllowed, "", c.Method+" is not possible here")
}

// operation finds out what is asked for by path length and method.
func (c *call) operation(parts int, feed bool) Operation {
	if c.resource == "pkranges" {
		return map[bool]map[string]Operation{true: {http.MethodGet: ListPartitionKeys}}[feed][c.Method]
	}
	if c.resource == "docs" && feed && c.Method == http.MethodPost {
		return c.postToItems()
	}
	byMethod := []map[string]Operation{
		{http.MethodGet: ListDatabases, http.MethodPost: CreateDatabase},
		{http.MethodGet: ReadDatabase, http.MethodDelete: DeleteDatabase},
		{http.MethodGet: ListContainers, http.MethodPost: CreateContainer},
		{http.MethodGet: ReadContainer, http.MethodPut: ReplaceContainer, http.MethodDelete: DeleteContainer},
		{http.MethodGet: ListItems},
		{http.MethodGet: ReadItem, http.MethodPut: ReplaceItem, http.MethodDelete: DeleteItem},
	}
	return byMethod[parts-1][c.Method]
}

func (c *call) postToItems() Operation {
	switch {
	case c.is("x-ms-cosmos-is-query-plan-request"):
		return QueryPlan
	case c.is("x-ms-documentdb-isquery") || c.is("x-ms-documentdb-query") ||
		strings.HasPrefix(c.Header.Get("Content-Type"), "application/query+json"):
		return Query
	case c.is("x-ms-cosmos-is-batch-request"):
		return Batch
	case c.is("x-ms-documentdb-is-upsert"):
		return UpsertItem
	}
	return CreateItem
}

// is says whether a header has the value true.
func (c *call) is(header string) bool { return strings.EqualFold(c.Header.Get(header), "true") }

// readBody reads what was sent, up to what the service takes.
func (c *call) readBody() error {
	body, err := io.ReadAll(io.LimitReader(c.Body, maxBody+1))
	if err != nil {
		return badRequest("The body could not be read: %v", err)
	}
	if len(body) > maxBody {
		return tooLarge()
	}
	c.body = body
	return nil
}

// resolve finds the database and the container that the path names.
func (c *call) resolve() error {
	if c.databaseID == "" || c.op == CreateDatabase {
		return nil
	}
	if c.database = c.server.databases[c.databaseID]; c.database == nil {
		return absentOwner()
	}
	if c.containerID == "" {
		return nil
	}
	if c.container = c.database.containers[c.containerID]; c.container == nil {
		return absentOwner()
	}
	return nil
}

func absentOwner() *failure {
	f := failed(http.StatusNotFound, "", "Resource Not Found. Owner resource does not exist")
	f.substatus = 1003
	return f
}
