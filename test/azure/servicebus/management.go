package servicebus

import (
	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// operation is something that $management does.
type operation struct {
	rights Rights
	do     func(q *queue, args amqp.Map) (amqp.Map, *amqp.Error)
}

// operations of Microsoft's "AMQP 1.0 in Azure Service Bus: request-response-
// based operations". An answer without a body has the status 204.
var operations = map[string]operation{
	"com.microsoft:renew-lock":                 {Listen, (*queue).renewLocks},
	"com.microsoft:peek-message":               {Listen, (*queue).peek},
	"com.microsoft:schedule-message":           {Send, (*queue).scheduleMessages},
	"com.microsoft:cancel-scheduled-message":   {Send, (*queue).cancelScheduled},
	"com.microsoft:receive-by-sequence-number": {Listen, (*queue).receiveDeferred},
	"com.microsoft:update-disposition":         {Listen, (*queue).updateDisposition},
}

// manage does what a request to $management asks.
func (r *request) manage() answer {
	op, known := operations[r.operation]
	if !known {
		return refusal(newError(condNotImplemented, "unknown operation '"+r.operation+"'"))
	}
	if refused := r.c.authorize(r.at, op.rights); refused != nil {
		return refusal(refused)
	}
	args, ok := r.body.(amqp.Map)
	if !ok {
		return refusal(newError(condArgument, "the body is not a map"))
	}
	body, refused := op.do(r.at.queue, args)
	switch {
	case refused != nil:
		return refusal(refused)
	case body == nil:
		return answer{status: 204, description: "No content"}
	}
	return answer{status: 200, description: "OK", body: body}
}

// renewLocks extends locks, all or none.
func (q *queue) renewLocks(args amqp.Map) (amqp.Map, *amqp.Error) {
	tokens, refused := lockTokens(args)
	if refused != nil {
		return nil, refused
	}
	for _, token := range tokens {
		if q.locks[token] == nil {
			return nil, errLockLost()
		}
	}
	until := make(amqp.Array, len(tokens))
	for i, token := range tokens {
		until[i], _ = q.renew(token)
	}
	return amqp.Map{{Key: "expirations", Value: until}}, nil
}

// peek shows messages in any state, by sequence number.
func (q *queue) peek(args amqp.Map) (amqp.Map, *amqp.Error) {
	from, ok := amqp.Int(args.Get("from-sequence-number"))
	count, ok2 := amqp.Int(args.Get("message-count"))
	if !ok || !ok2 || count <= 0 {
		return nil, newError(condArgument, "from-sequence-number or message-count is wrong")
	}
	var list amqp.List
	size := 0
	for _, e := range q.sorted(from) {
		encoded := q.compose(e, nil).Append(nil)
		size += len(encoded)
		if int64(len(list)) == count || len(list) > 0 && size > controlSize {
			break
		}
		list = append(list, amqp.Map{{Key: "message", Value: encoded}})
	}
	if list == nil {
		return nil, nil
	}
	return amqp.Map{{Key: "messages", Value: list}}, nil
}

// scheduleMessages stores messages for later, all or none.
func (q *queue) scheduleMessages(args amqp.Map) (amqp.Map, *amqp.Error) {
	if q.parent != nil {
		return nil, newError(condNotAllowed, "Messages cannot be sent to '"+q.path+"' directly.")
	}
	var messages []*amqp.Message
	for _, item := range amqp.Elements(args.Get("messages")) {
		m, refused := q.scheduledMessage(item)
		if refused != nil {
			return nil, refused
		}
		messages = append(messages, m)
	}
	if len(messages) == 0 {
		return nil, newError(condArgument, "no messages")
	}
	numbers, refused := q.schedule(messages)
	if refused != nil {
		return nil, refused
	}
	out := make(amqp.Array, len(numbers))
	for i, n := range numbers {
		out[i] = n
	}
	return amqp.Map{{Key: "sequence-numbers", Value: out}}, nil
}

// scheduledMessage decodes one of them; its annotation says when.
func (q *queue) scheduledMessage(item any) (*amqp.Message, *amqp.Error) {
	fields, _ := item.(amqp.Map)
	encoded, ok := fields.Get("message").([]byte)
	if !ok {
		return nil, newError(condArgument, "an element of messages has no message")
	}
	if len(encoded) > q.o.MaxMessageSize {
		return nil, newError(condSizeExceeded, "The message is larger than is currently allowed.")
	}
	m, err := amqp.ParseMessage(encoded)
	if err != nil {
		return nil, newError(condDecode, err.Error())
	}
	if scheduledFor(m) == nil {
		return nil, newError(condArgument, "a message has no "+annotationScheduled)
	}
	return m, nil
}

// cancelScheduled removes scheduled messages, all or none.
func (q *queue) cancelScheduled(args amqp.Map) (amqp.Map, *amqp.Error) {
	entries, refused := q.numbered(args, scheduled)
	if refused != nil {
		return nil, refused
	}
	for _, e := range entries {
		q.remove(e)
	}
	return amqp.Map{}, nil
}

// receiveDeferred hands out deferred messages, all or none.
func (q *queue) receiveDeferred(args amqp.Map) (amqp.Map, *amqp.Error) {
	entries, refused := q.numbered(args, deferred)
	if refused != nil {
		return nil, refused
	}
	mode, _ := amqp.Int(args.Get("receiver-settle-mode"))
	var list amqp.List
	for _, e := range entries {
		q.s.stats.MessagesOut++
		if mode == int64(amqp.ReceiverFirst) {
			list = append(list, amqp.Map{{Key: "message", Value: q.compose(e, nil).Append(nil)}})
			q.remove(e)
			continue
		}
		k := q.hold(e)
		m := q.compose(e, k)
		// There is no delivery tag to carry the token: some clients look for it
		// here, others beside the message.
		m.DeliveryAnnotations = amqp.Map{{Key: amqp.Symbol(annotationLockToken), Value: k.token}}
		list = append(list, amqp.Map{
			{Key: "lock-token", Value: k.token},
			{Key: "message", Value: m.Append(nil)},
		})
	}
	if list == nil {
		return nil, nil
	}
	return amqp.Map{{Key: "messages", Value: list}}, nil
}

// numbered finds free entries of a status by the sequence numbers in args.
func (q *queue) numbered(args amqp.Map, want phase) ([]*entry, *amqp.Error) {
	var entries []*entry
	seen := map[int64]bool{}
	for _, v := range amqp.Elements(args.Get("sequence-numbers")) {
		n, ok := amqp.Int(v)
		if !ok {
			return nil, newError(condArgument, "sequence-numbers are not numbers")
		}
		e := q.entries[n]
		if e == nil || e.phase != want || e.lock != nil {
			return nil, newError(condMessageNotFound, "Failed to lock one or more specified messages. The message does not exist.")
		}
		if !seen[n] {
			entries = append(entries, e)
		}
		seen[n] = true
	}
	return entries, nil
}

// updateDisposition settles by lock token, for receivers that have lost their
// link or never had one. The first token that fails ends it.
func (q *queue) updateDisposition(args amqp.Map) (amqp.Map, *amqp.Error) {
	tokens, refused := lockTokens(args)
	if refused != nil {
		return nil, refused
	}
	verdicts := map[string]verdict{"completed": complete, "abandoned": abandon, "suspended": bury, "defered": postpone}
	v, ok := verdicts[amqp.Text(args.Get("disposition-status"))]
	if !ok {
		return nil, newError(condArgument, "unknown disposition-status")
	}
	modify, _ := args.Get("properties-to-modify").(amqp.Map)
	for _, token := range tokens {
		refused := q.settle(token, outcome{
			verdict:     v,
			reason:      amqp.Text(args.Get("deadletter-reason")),
			description: amqp.Text(args.Get("deadletter-description")),
			modify:      modify,
		})
		if refused != nil {
			return nil, refused
		}
	}
	return amqp.Map{}, nil
}

// lockTokens reads the argument of that name.
func lockTokens(args amqp.Map) ([]amqp.UUID, *amqp.Error) {
	var tokens []amqp.UUID
	for _, v := range amqp.Elements(args.Get("lock-tokens")) {
		token, ok := v.(amqp.UUID)
		if !ok {
			return nil, newError(condArgument, "lock-tokens are not UUIDs")
		}
		tokens = append(tokens, token)
	}
	if len(tokens) == 0 {
		return nil, newError(condArgument, "no lock-tokens")
	}
	return tokens, nil
}
