package servicebus

import (
	"net/url"
	"strings"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// nodeKind says what a link is attached to.
type nodeKind int

const (
	nodeQueue nodeKind = iota
	nodeCBS
	nodeManagement
)

// node is an address taken apart.
type node struct {
	kind nodeKind
	// path is the address without scheme and host, as the client wrote it.
	path string
	// queue is nil for $cbs.
	queue *queue
}

const (
	cbsPath          = "$cbs"
	managementSuffix = "/$management"
	deadLetterSuffix = "/$deadletterqueue"
)

// resolve finds what an address means. Addresses may be relative or whole
// URLs, and case does not count.
func (s *Server) resolve(address string) (node, *amqp.Error) {
	n := node{path: entityPath(address)}
	name := fold(n.path)
	if name == cbsPath {
		n.kind = nodeCBS
		return n, nil
	}
	if base, ok := strings.CutSuffix(name, managementSuffix); ok {
		n.kind, name = nodeManagement, base
	}
	if n.queue = s.find(name); n.queue == nil {
		return n, newError(condNotFound, "The messaging entity '"+n.path+"' could not be found.")
	}
	return n, nil
}

// find returns a queue, or the dead letters of one, or nil.
func (s *Server) find(name string) *queue {
	base, dead := strings.CutSuffix(fold(name), deadLetterSuffix)
	q := s.queues[base]
	if q != nil && dead {
		return q.dead
	}
	return q
}

// entityPath cuts scheme, host, query and slashes off an address or an
// audience.
func entityPath(address string) string {
	address, _, _ = strings.Cut(address, "?")
	if _, rest, isURL := strings.Cut(address, "://"); isURL {
		_, address, _ = strings.Cut(rest, "/")
	}
	return strings.Trim(address, "/")
}

// hostOf is the host of an audience without its port; "" if it is relative.
func hostOf(audience string) string {
	u, err := url.Parse(audience)
	if err != nil {
		return ""
	}
	return fold(u.Hostname())
}
