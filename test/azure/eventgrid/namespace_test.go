package eventgrid_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/aznamespaces"

	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

const namespaceURL = "https://ns.test"

// pull is a namespace with a topic "orders" and a subscription "worker", and
// clients for both.
type pull struct {
	*eventgrid.Namespace
	sender   *aznamespaces.SenderClient
	receiver *aznamespaces.ReceiverClient
	dead     []eventgrid.QueueDeadLetter
}

func newPull(t testing.TB, o eventgrid.NamespaceOptions, s eventgrid.QueueSubscription) *pull {
	t.Helper()
	p := &pull{Namespace: eventgrid.NewNamespace(o)}
	s.Name = "worker"
	s.DeadLetter = func(d eventgrid.QueueDeadLetter) { p.dead = append(p.dead, d) }
	if err := p.Subscribe("orders", s); err != nil {
		t.Fatal(err)
	}
	options, cred := clientOptions(eventgrid.Transport{Handler: p.Namespace}), azcore.NewKeyCredential(key)
	var err, err2 error
	p.sender, err = aznamespaces.NewSenderClientWithSharedKeyCredential(namespaceURL, "orders", cred, &aznamespaces.SenderClientOptions{ClientOptions: options})
	p.receiver, err2 = aznamespaces.NewReceiverClientWithSharedKeyCredential(namespaceURL, "orders", "worker", cred, &aznamespaces.ReceiverClientOptions{ClientOptions: options})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pull) send(t testing.TB, ids ...string) {
	t.Helper()
	var events []*messaging.CloudEvent
	for _, id := range ids {
		e := one()[0]
		e.ID = id
		events = append(events, &e)
	}
	if _, err := p.sender.SendEvents(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
}

// receive returns lock tokens, and ids with delivery counts.
func (p *pull) receive(t testing.TB, max int32) (tokens, events []string) {
	t.Helper()
	wait := int32(10)
	page, err := p.receiver.ReceiveEvents(t.Context(), &aznamespaces.ReceiveEventsOptions{MaxEvents: &max, MaxWaitTime: &wait})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range page.Details {
		tokens = append(tokens, *d.BrokerProperties.LockToken)
		events = append(events, fmt.Sprint(d.Event.ID, "/", *d.BrokerProperties.DeliveryCount))
	}
	return tokens, events
}

func (p *pull) wantEvents(t testing.TB, want ...string) []string {
	t.Helper()
	tokens, got := p.receive(t, 100)
	if !slices.Equal(got, want) {
		t.Fatalf("received %v, want %v", got, want)
	}
	return tokens
}

// virtual runs a test in virtual time.
func virtual(name string, t *testing.T, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestPullLifecycle(t *testing.T) {
	virtual("acknowledge", t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{})
		p.send(t, "1", "2")
		tokens := p.wantEvents(t, "1/1", "2/1")
		done, err := p.receiver.AcknowledgeEvents(t.Context(), tokens, nil)
		if err != nil || !slices.Equal(done.SucceededLockTokens, tokens) || len(done.FailedLockTokens) != 0 {
			t.Errorf("answer %+v, %v", done, err)
		}
		if s, _ := p.QueueStats("orders", "worker"); s != (eventgrid.QueueStats{Acknowledged: 2}) {
			t.Errorf("stats %+v", s)
		}
	})
	virtual("a lock ends", t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{LockDuration: 90 * time.Second})
		p.send(t, "1")
		old := p.wantEvents(t, "1/1")
		p.wantEvents(t) // ten seconds of waiting
		time.Sleep(79 * time.Second)
		p.wantEvents(t, "1/2")
		answer, err := p.receiver.AcknowledgeEvents(t.Context(), old, nil)
		if err != nil || len(answer.FailedLockTokens) != 1 || *answer.FailedLockTokens[0].Error.Code != "TokenLost" {
			t.Errorf("late acknowledgement: %+v, %v", answer, err)
		}
	})
	virtual("renewal", t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{})
		p.send(t, "1")
		tokens := p.wantEvents(t, "1/1")
		for range 3 {
			time.Sleep(50 * time.Second)
			if a, err := p.receiver.RenewEventLocks(t.Context(), tokens, nil); err != nil || len(a.FailedLockTokens) != 0 {
				t.Fatalf("answer %+v, %v", a, err)
			}
		}
		p.wantEvents(t)
	})
	virtual("release with delay", t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{})
		p.send(t, "1")
		delay := aznamespaces.ReleaseDelayOneMinute
		start := time.Now()
		if a, err := p.receiver.ReleaseEvents(t.Context(), p.wantEvents(t, "1/1"), &aznamespaces.ReleaseEventsOptions{ReleaseDelayInSeconds: &delay}); err != nil || len(a.SucceededLockTokens) != 1 {
			t.Fatalf("answer %+v, %v", a, err)
		}
		for time.Since(start) < 50*time.Second {
			p.wantEvents(t)
		}
		p.wantEvents(t, "1/2")
		if got := time.Since(start); got != time.Minute {
			t.Errorf("came back after %v", got)
		}
	})
	virtual("reject", t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{})
		p.send(t, "1")
		if _, err := p.receiver.RejectEvents(t.Context(), p.wantEvents(t, "1/1"), nil); err != nil {
			t.Fatal(err)
		}
		if len(p.dead) != 1 || p.dead[0].Reason != "Rejected" {
			t.Errorf("dead letters %+v", p.dead)
		}
	})
	virtual("delivered too often", t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{MaxDeliveryCount: 2})
		p.send(t, "1")
		p.wantEvents(t, "1/1")
		time.Sleep(time.Minute)
		if _, err := p.receiver.ReleaseEvents(t.Context(), p.wantEvents(t, "1/2"), nil); err != nil {
			t.Fatal(err)
		}
		if len(p.dead) != 1 || p.dead[0].Reason != "MaxDeliveryAttemptsExceeded" || p.dead[0].DeliveryCount != 2 {
			t.Errorf("dead letters %+v", p.dead)
		}
	})
	virtual("too old", t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{TTL: time.Hour})
		p.send(t, "1")
		time.Sleep(time.Hour)
		p.wantEvents(t)
		if len(p.dead) != 1 || p.dead[0].Reason != "TimeToLiveExceeded" {
			t.Errorf("dead letters %+v", p.dead)
		}
	})
}

func TestReceiveWaitsForAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{})
		start := time.Now()
		go func() {
			time.Sleep(5 * time.Second)
			p.send(t, "1", "2", "3")
		}()
		if _, got := p.receive(t, 2); !slices.Equal(got, []string{"1/1", "2/1"}) || time.Since(start) != 5*time.Second {
			t.Errorf("received %v after %v", got, time.Since(start))
		}
		p.wantEvents(t, "3/1")
		if _, got := p.receive(t, 1); got != nil || time.Since(start) != 15*time.Second {
			t.Errorf("received %v after %v, want nothing after ten seconds", got, time.Since(start))
		}
	})
}

func TestPartialFailuresAreAnsweredWith200(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{})
		p.send(t, "1", "2")
		tokens := p.wantEvents(t, "1/1", "2/1")
		if _, err := p.receiver.AcknowledgeEvents(t.Context(), tokens[:1], nil); err != nil {
			t.Fatal(err)
		}
		a, err := p.receiver.ReleaseEvents(t.Context(), []string{tokens[0], tokens[1], "nonsense"}, nil)
		if err != nil || !slices.Equal(a.SucceededLockTokens, tokens[1:]) || len(a.FailedLockTokens) != 2 {
			t.Fatalf("answer %+v, %v", a, err)
		}
		if lost, bad := a.FailedLockTokens[0], a.FailedLockTokens[1]; *lost.Error.Code != "TokenLost" || *lost.LockToken != tokens[0] ||
			lost.Error.Error() != "Token has expired." || *bad.Error.Code != "BadToken" {
			t.Errorf("failures %+v %+v", lost.Error, bad.Error)
		}
	})
}

func TestPublishingModes(t *testing.T) {
	modes := []struct {
		name, body, want string
		header           map[string]string
	}{
		{"structured", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":12345678901234567890}}`,
			`{"data":{"n":12345678901234567890},"id":"1","source":"/s","specversion":"1.0","type":"t"}`,
			map[string]string{"Content-Type": "application/cloudevents+json"}},
		{"binary json", `{"n":1}`, `{"data":{"n":1},"datacontenttype":"application/json","id":"1","source":"/s","specversion":"1.0","tenant":"a","type":"t"}`,
			map[string]string{"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-tenant": "a"}},
		{"binary text", "hello", `{"data":"hello","datacontenttype":"text/plain","id":"1","source":"/s","specversion":"1.0","type":"t"}`,
			map[string]string{"Content-Type": "text/plain", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}},
		{"binary bytes", "\xff\x00", `{"data_base64":"/wA=","datacontenttype":"application/octet-stream","id":"1","source":"/s","specversion":"1.0","type":"t"}`,
			map[string]string{"Content-Type": "application/octet-stream", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}},
	}
	for _, m := range modes {
		p := newPull(t, eventgrid.NamespaceOptions{}, eventgrid.QueueSubscription{})
		if status, text := post(t, p.Namespace, "/topics/orders:publish?api-version=2024-06-01", m.body, m.header); status != 200 || text != "{}" {
			t.Fatalf("%s: %d %s", m.name, status, text)
		}
		_, text := post(t, p.Namespace, "/topics/orders/eventsubscriptions/worker:receive?api-version=2024-06-01", "", nil)
		if !strings.Contains(text, `"event":`+m.want) {
			t.Errorf("%s: page %s, want event %s", m.name, text, m.want)
		}
	}
}

func post(t testing.TB, h http.Handler, path, body string, header map[string]string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, namespaceURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := eventgrid.Transport{Handler: h}.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
