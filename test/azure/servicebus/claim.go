package servicebus

import (
	"fmt"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// claim is what a token that was put on a connection allows, on an entity and
// everything below it.
type claim struct {
	rights Rights
	until  time.Time // zero: for ever
	stop   func()    // ends the wait for until
}

// claim records what a token allows; a newer token for the same path replaces
// an older one.
func (c *conn) claim(path string, rights Rights, until time.Time) {
	path = fold(path)
	if old := c.claims[path]; old != nil {
		old.stop()
	}
	cl := &claim{rights: rights, until: until, stop: func() {}}
	if !until.IsZero() {
		cl.stop = c.s.after(until.Sub(c.s.now()), c.recheck)
	}
	c.claims[path] = cl
	c.recheck()
}

// recheck detaches links whose token has expired or was replaced by one that
// does not allow them.
func (c *conn) recheck() {
	for _, session := range c.sessions {
		for _, l := range session.links {
			if err := c.authorize(l.node(), l.wants()); err != nil {
				l.detach(err)
			}
		}
	}
}

// authorize checks that a valid claim on the node, or on something above it,
// has all the rights. No rights at all mean that any claim will do.
func (c *conn) authorize(n node, rights Rights) *amqp.Error {
	if n.kind == nodeCBS {
		return nil
	}
	for path, cl := range c.claims {
		if covers(path, fold(n.path)) && cl.rights.Has(rights) && cl.valid(c.s.now()) {
			return nil
		}
	}
	return newError(condUnauthorized, fmt.Sprintf(
		"Unauthorized access. '%v' claim(s) are required to perform this operation. Resource: '%s'.", rights, n.path))
}

func (cl *claim) valid(now time.Time) bool { return cl.until.IsZero() || now.Before(cl.until) }

// covers reports whether a path lies at or below another; both are folded.
func covers(above, path string) bool {
	return above == "" || path == above || strings.HasPrefix(path, above+"/")
}

// String names the rights as Azure does.
func (r Rights) String() string {
	var names []string
	for i, name := range []string{"Send", "Listen", "Manage"} {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
