package servicebus_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// These tests speak AMQP with go-amqp alone, to do what the Service Bus SDK
// does not but other clients do.

// amqpConn opens a connection over a pipe.
func (d *desk) amqpConn(o *goamqp.ConnOptions) *goamqp.Conn {
	d.Helper()
	if o == nil {
		o = &goamqp.ConnOptions{SASLType: goamqp.SASLTypeAnonymous()}
	}
	o.HostName = "localhost"
	conn, err := goamqp.NewConn(d.ctx, d.s.Pipe(), o)
	d.must(err)
	d.Cleanup(func() { _ = conn.Close() })
	return conn
}

// plainConn opens a connection that has all rights by the PLAIN mechanism.
func (d *desk) plainSession(o *goamqp.SessionOptions) *goamqp.Session {
	d.Helper()
	name, key := credentials(d.s)
	conn := d.amqpConn(&goamqp.ConnOptions{SASLType: goamqp.SASLTypePlain(name, key)})
	session, err := conn.NewSession(d.ctx, o)
	d.must(err)
	return session
}

// credentials are what the connection string says.
func credentials(s *servicebus.Server) (name, key string) {
	fields := map[string]string{}
	for part := range strings.SplitSeq(s.ConnectionString(), ";") {
		k, v, _ := strings.Cut(part, "=")
		fields[k] = v
	}
	return fields["SharedAccessKeyName"], fields["SharedAccessKey"]
}

// sas signs a token as Microsoft's documentation shows for other languages:
// the resource is not lower-cased, unlike in the Go SDK.
func sas(s *servicebus.Server, resource string, until time.Time) string {
	name, key := credentials(s)
	sr, se := url.QueryEscape(resource), fmt.Sprint(until.Unix())
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(sr + "\n" + se))
	sig := url.QueryEscape(base64.StdEncoding.EncodeToString(h.Sum(nil)))
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%s&skn=%s", sr, sig, se, name)
}

// call makes a request to $cbs or a $management node and returns the answer.
func (d *desk) call(session *goamqp.Session, node string, properties map[string]any, body any) *goamqp.Message {
	d.Helper()
	receiver, err := session.NewReceiver(d.ctx, node, &goamqp.ReceiverOptions{TargetAddress: "answers-here"})
	d.must(err)
	sender, err := session.NewSender(d.ctx, node, nil)
	d.must(err)
	d.must(sender.Send(d.ctx, &goamqp.Message{
		Properties:            &goamqp.MessageProperties{MessageID: uint64(7), ReplyTo: new("answers-here")},
		ApplicationProperties: properties, Value: body,
	}, nil))
	answer, err := receiver.Receive(d.ctx, nil)
	d.must(err)
	if answer.Properties.CorrelationID != uint64(7) {
		d.Fatalf("correlation id %v", answer.Properties.CorrelationID)
	}
	d.must(sender.Close(d.ctx))
	d.must(receiver.Close(d.ctx))
	return answer
}

func (d *desk) putToken(session *goamqp.Session, audience, token string) {
	d.Helper()
	a := d.call(session, "$cbs", map[string]any{
		"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience,
	}, token)
	if code := a.ApplicationProperties["status-code"]; code != int32(202) {
		d.Fatalf("put-token: %v", a.ApplicationProperties)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		session, err := d.amqpConn(nil).NewSession(d.ctx, nil)
		d.must(err)
		later := time.Now().Add(time.Hour)
		good := sas(d.s, "sb://localhost/events", later)
		const name = "sb://localhost/events"
		for what, c := range map[string]struct {
			token, name, kind, operation string
			want                         int32
		}{
			"good":            {good, name, "", "", 202},
			"called a jwt":    {good, name, "jwt", "", 202},
			"a jwt":           {"e30.e30.e30", name, "jwt", "", 401},
			"below":           {good, name + "/$management", "", "", 202},
			"by host alone":   {sas(d.s, "localhost", later), name, "", "", 202},
			"expired":         {sas(d.s, name, time.Now().Add(-time.Second)), name, "", "", 401},
			"other queue":     {sas(d.s, "sb://localhost/other", later), name, "", "", 401},
			"like prefix":     {sas(d.s, "sb://localhost/even", later), name, "", "", 401},
			"other host":      {sas(d.s, "sb://elsewhere/events", later), name, "", "", 401},
			"tampered":        {strings.Replace(good, "&se=", "&se=1", 1), name, "", "", 401},
			"not signed":      {"SharedAccessSignature sr=x", name, "", "", 401},
			"no signature":    {"hello", name, "", "", 401},
			"empty":           {"", name, "", "", 400},
			"no name":         {good, "", "", "", 400},
			"unknown type":    {good, name, "kerberos", "", 400},
			"unknown op":      {good, name, "", "take-token", 501},
			"unknown queue":   {sas(d.s, "sb://localhost", later), "sb://localhost/nowhere", "", "", 404},
			"whole namespace": {sas(d.s, "sb://localhost", later), "sb://localhost/", "", "", 202},
		} {
			properties := map[string]any{"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": c.name}
			if c.kind != "" {
				properties["type"] = c.kind
			}
			if c.operation != "" {
				properties["operation"] = c.operation
			}
			a := d.call(session, "$cbs", properties, c.token)
			if got := a.ApplicationProperties["status-code"]; got != c.want {
				t.Errorf("%s: %v %v, want %d", what, got, a.ApplicationProperties["status-description"], c.want)
			}
		}
	})
}

func TestPlainNeedsTheKey(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		name, _ := credentials(d.s)
		_, err := goamqp.NewConn(d.ctx, d.s.Pipe(), &goamqp.ConnOptions{HostName: "x", SASLType: goamqp.SASLTypePlain(name, "wrong")})
		if err == nil {
			t.Fatal("a wrong key was taken")
		}
		d.plainSession(nil)
	})
}

func TestLinksThatAreRefused(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		session := d.plainSession(nil)
		_, err := session.NewSender(d.ctx, "nowhere", nil)
		d.condition(err, "amqp:not-found")
		_, err = session.NewReceiver(d.ctx, "nowhere/$management", nil)
		d.condition(err, "amqp:not-found")
		_, err = session.NewSender(d.ctx, "events/$DeadLetterQueue", nil)
		d.condition(err, "amqp:not-allowed")
		_, err = session.NewReceiver(d.ctx, "events", &goamqp.ReceiverOptions{
			Filters: []goamqp.LinkFilter{goamqp.NewLinkFilter("com.microsoft:session-filter", 0x13700000c, nil)},
		})
		d.condition(err, "amqp:not-allowed")
		// The session is fine after all that.
		_, err = session.NewReceiver(d.ctx, "amqps://localhost/EVENTS/", nil)
		d.must(err)
	})
}

func TestDrain(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send(numbered(3)...)
		receiver, err := d.plainSession(nil).NewReceiver(d.ctx, "events", &goamqp.ReceiverOptions{
			Credit: -1, SettlementMode: goamqp.ReceiverSettleModeSecond.Ptr(),
		})
		d.must(err)
		d.must(receiver.IssueCredit(10))
		for range 3 {
			m, err := receiver.Receive(d.ctx, nil)
			d.must(err)
			d.must(receiver.AcceptMessage(d.ctx, m))
		}
		d.must(receiver.DrainCredit(d.ctx, nil))
		d.send("after")
		time.Sleep(time.Second)
		if m := receiver.Prefetched(); m != nil {
			t.Fatalf("a message came without credit: %s", m.GetData())
		}
		d.counts(servicebus.Counts{Active: 1})
		d.must(receiver.IssueCredit(1))
		m, err := receiver.Receive(d.ctx, nil)
		d.must(err)
		if string(m.GetData()) != "after" {
			t.Errorf("received %s", m.GetData())
		}
		// More credit would deliver more: the one that was given is used up.
		d.must(receiver.DrainCredit(d.ctx, nil))
	})
}

func TestCreditIsHonoured(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send(numbered(10)...)
		receiver, err := d.plainSession(nil).NewReceiver(d.ctx, "events", &goamqp.ReceiverOptions{Credit: -1})
		d.must(err)
		d.must(receiver.IssueCredit(4))
		time.Sleep(time.Second)
		d.counts(servicebus.Counts{Active: 6, Locked: 4})
	})
}

// Answers go to a dynamic address too.
func TestDynamicReplyAddress(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		session := d.plainSession(nil)
		receiver, err := session.NewReceiver(d.ctx, "", &goamqp.ReceiverOptions{DynamicAddress: true})
		d.must(err)
		if receiver.Address() == "" {
			t.Fatal("no address was given")
		}
		sender, err := session.NewSender(d.ctx, "events/$management", nil)
		d.must(err)
		d.must(sender.Send(d.ctx, &goamqp.Message{
			Properties:            &goamqp.MessageProperties{MessageID: "q", ReplyTo: new(receiver.Address())},
			ApplicationProperties: map[string]any{"operation": "com.microsoft:peek-message"},
			Value:                 map[string]any{"from-sequence-number": int64(0), "message-count": int32(1)},
		}, nil))
		answer, err := receiver.Receive(d.ctx, nil)
		d.must(err)
		if answer.ApplicationProperties["statusCode"] != int32(204) || answer.Properties.CorrelationID != "q" {
			t.Errorf("answer %+v", answer)
		}
	})
}

func TestOutcomesOfOtherClients(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("rejected")
		receiver, err := d.plainSession(nil).NewReceiver(d.ctx, "events", &goamqp.ReceiverOptions{SettlementMode: goamqp.ReceiverSettleModeSecond.Ptr()})
		d.must(err)
		m, err := receiver.Receive(d.ctx, nil)
		d.must(err)
		d.must(receiver.RejectMessage(d.ctx, m, &goamqp.Error{Condition: "app:bad", Description: "why"}))
		dead := d.take(d.deadLetters(), 1)[0]
		if *dead.DeadLetterReason != "app:bad" || *dead.DeadLetterErrorDescription != "why" {
			t.Errorf("reason %q, %q", *dead.DeadLetterReason, *dead.DeadLetterErrorDescription)
		}
		r, err := d.plainSession(nil).NewReceiver(d.ctx, "events/$DeadLetterQueue", &goamqp.ReceiverOptions{SettlementMode: goamqp.ReceiverSettleModeSecond.Ptr()})
		d.must(err)
		d.s.ExpireLocks("events/$DeadLetterQueue")
		m, err = r.Receive(d.ctx, nil)
		d.must(err)
		d.condition(r.RejectMessage(d.ctx, m, nil), "amqp:not-allowed")
		d.must(r.AcceptMessage(d.ctx, m))
	})
}

func TestBodiesOfAnyKindSurvive(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		session := d.plainSession(nil)
		sender, err := session.NewSender(d.ctx, "events", nil)
		d.must(err)
		sent := []*goamqp.Message{
			{Value: "text"},
			{Value: map[string]any{"a": []any{int32(1), "x"}}},
			{Sequence: [][]any{{"a", int64(1)}, {"b"}}},
			{Data: [][]byte{[]byte("one"), []byte("two")}, Footer: goamqp.Annotations{"f": "end"}},
		}
		for _, m := range sent {
			d.must(sender.Send(d.ctx, m, nil))
		}
		receiver, err := session.NewReceiver(d.ctx, "events", nil)
		d.must(err)
		for i, want := range sent {
			got, err := receiver.Receive(d.ctx, nil)
			d.must(err)
			if fmt.Sprint(got.Value, got.Sequence, got.Data, got.Footer) != fmt.Sprint(want.Value, want.Sequence, want.Data, want.Footer) {
				t.Errorf("message %d: %v %v %v %v", i, got.Value, got.Sequence, got.Data, got.Footer)
			}
			d.must(receiver.AcceptMessage(d.ctx, got))
		}
	})
}

// Senders can't pretend to be the broker.
func TestAnnotationsOfTheBrokerAreItsOwn(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		session := d.plainSession(nil)
		sender, err := session.NewSender(d.ctx, "events", nil)
		d.must(err)
		d.must(sender.Send(d.ctx, &goamqp.Message{
			Header:              &goamqp.MessageHeader{DeliveryCount: 7, Durable: true},
			DeliveryAnnotations: goamqp.Annotations{"x-opt-lock-token": goamqp.UUID{1}},
			Annotations: goamqp.Annotations{"x-opt-sequence-number": int64(99), "x-opt-deadletter-source": "lies", "x-opt-message-state": int32(2),
				"x-opt-mine": "kept"},
			Value: "x",
		}, nil))
		receiver, err := session.NewReceiver(d.ctx, "events", nil)
		d.must(err)
		m, err := receiver.Receive(d.ctx, nil)
		d.must(err)
		_, forged := m.Annotations["x-opt-deadletter-source"]
		if forged || m.Annotations["x-opt-sequence-number"] != int64(1) || m.Annotations["x-opt-message-state"] != int32(0) ||
			m.Annotations["x-opt-mine"] != "kept" || len(m.DeliveryAnnotations) > 0 || m.Header.DeliveryCount != 0 || !m.Header.Durable {
			t.Errorf("annotations %v, header %+v", m.Annotations, m.Header)
		}
	})
}

func TestSettledTransfersAreStored(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		sender, err := d.plainSession(nil).NewSender(d.ctx, "events", &goamqp.SenderOptions{SettlementMode: goamqp.SenderSettleModeSettled.Ptr()})
		d.must(err)
		for range 3000 { // more than a link's credit
			d.must(sender.Send(d.ctx, goamqp.NewMessage(nil), nil))
		}
		time.Sleep(time.Second)
		d.counts(servicebus.Counts{Active: 3000})
	})
}

// Heartbeats keep an idle connection open on both sides for hours.
func TestIdleConnectionLives(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		name, key := credentials(d.s)
		conn := d.amqpConn(&goamqp.ConnOptions{SASLType: goamqp.SASLTypePlain(name, key), IdleTimeout: 10 * time.Second})
		time.Sleep(3 * time.Hour)
		if _, err := conn.NewSession(d.ctx, nil); err != nil {
			t.Fatalf("after three hours: %v", err)
		}
	})
}

// A client that falls silent is cut off, and told so if it listens.
func TestSilentConnectionEnds(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		start := time.Now()
		d.raw(10).ended("amqp:connection:forced")
		if took := time.Since(start); took > 10*time.Minute {
			t.Errorf("after %v", took)
		}
		start = time.Now()
		if _, err := d.s.Pipe().Read(make([]byte, 1)); err == nil || time.Since(start) != time.Minute {
			t.Errorf("without a hello: %v after %v", err, time.Since(start))
		}
	})
}
