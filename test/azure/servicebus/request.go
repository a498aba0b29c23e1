package servicebus

import (
	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// request is a message to $cbs or to a queue's $management.
type request struct {
	c         *conn
	at        node
	operation string
	props     amqp.Map
	body      any // of the value section
}

// answer is what comes back.
type answer struct {
	status      int32
	description string
	condition   amqp.Symbol
	body        amqp.Map
}

// refusal makes an answer of an error.
func refusal(err *amqp.Error) answer {
	return answer{status: status(err.Condition), description: err.Description, condition: err.Condition}
}

// request handles a message that arrived on a link to $cbs or $management.
func (l *inLink) request(d *incoming) {
	m, err := amqp.ParseMessage(d.payload)
	if err != nil {
		l.detach(newError(condDecode, err.Error()))
		return
	}
	r := &request{c: l.s.c, at: l.at, props: m.ApplicationProperties}
	r.operation = amqp.Text(r.props.Get("operation"))
	if sections := m.Sections(); len(sections) > 0 {
		r.body = sections[0]
	}
	a, dropped := r.handle()
	if dropped {
		return
	}
	r.c.s.logf("%s %s: %d %s", r.at.path, r.operation, a.status, a.description)
	if to := l.replyLink(m.Properties); to != nil {
		to.reply(a.encode(l.at.kind, m.Properties))
	}
}

// handle applies the faults of the point and does what is asked.
func (r *request) handle() (a answer, dropped bool) {
	point, do, name := Managing, r.manage, r.at.path
	if r.at.kind == nodeCBS {
		point, do, name = PuttingToken, r.putToken, ""
		r.c.s.stats.TokensPut++
	} else {
		r.c.s.stats.ManagementRequests++
	}
	hit := r.c.s.o.Faults.strike(point, name)
	switch {
	case hit.drop:
		r.c.drop()
		return a, true
	case hit.refusal != nil:
		return refusal(hit.refusal), false
	case hit.dropAfter:
		r.c.drop()
		do()
		return a, true
	}
	return do(), false
}

// replyLink finds the link that the answer goes to: the one whose address the
// request names, or else one of the same session to the same node.
func (l *inLink) replyLink(p *amqp.Properties) *outLink {
	if p != nil {
		if to := l.s.c.replies[amqp.Text(p.ReplyTo)]; to != nil {
			return to
		}
	}
	for _, other := range l.s.links {
		if out, ok := other.(*outLink); ok && !out.gone && fold(out.at.path) == fold(l.at.path) {
			return out
		}
	}
	return nil
}

// encode makes the message. $cbs and $management spell the same things
// differently.
func (a answer) encode(kind nodeKind, asked *amqp.Properties) []byte {
	statusName, descriptionName := "statusCode", "statusDescription"
	if kind == nodeCBS {
		statusName, descriptionName = "status-code", "status-description"
	}
	m := &amqp.Message{
		Properties: &amqp.Properties{},
		ApplicationProperties: amqp.Map{
			{Key: statusName, Value: a.status},
			{Key: descriptionName, Value: a.description},
		},
		Body: amqp.ValueBody(a.value()),
	}
	if a.condition != "" && kind == nodeManagement {
		m.ApplicationProperties.Set("errorCondition", a.condition)
	}
	if asked != nil {
		m.Properties.CorrelationID = asked.MessageID
		m.Properties.To = asked.ReplyTo
	}
	return m.Append(nil)
}

// value is the body: a map, empty if there is nothing to say.
func (a answer) value() amqp.Map {
	if a.body == nil {
		return amqp.Map{}
	}
	return a.body
}
