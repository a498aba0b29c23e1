package eventgrid_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/clock"
	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// delivery is one request that an endpoint got.
type delivery struct {
	at     time.Duration // since noon
	method string
	header http.Header
	body   string
}

// endpoint is a webhook: it agrees to handshakes, notes deliveries and
// answers what status says.
type endpoint struct {
	clock  clock.Clock
	status func() int

	mu  sync.Mutex
	got []delivery
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	e.got = append(e.got, delivery{e.clock.Now().Sub(noon), r.Method, r.Header.Clone(), string(body)})
	e.mu.Unlock()
	if r.Method == http.MethodOptions {
		w.Header().Set("WebHook-Allowed-Origin", r.Header.Get("WebHook-Request-Origin"))
		return
	}
	if r.Header.Get("aeg-event-type") == "SubscriptionValidation" {
		var events []struct {
			Data struct{ ValidationCode string }
		}
		_ = json.Unmarshal(body, &events)
		_, _ = fmt.Fprintf(w, `{"validationResponse":%q}`, events[0].Data.ValidationCode)
		return
	}
	if e.status != nil {
		w.WriteHeader(e.status())
	}
}

// deliveries are the requests after the handshake.
func (e *endpoint) deliveries() []delivery {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]delivery(nil), e.got[1:]...)
}

// rig is a topic, a clock and an endpoint that subscribed.
type rig struct {
	*eventgrid.Topic
	clock    *clock.Manual
	endpoint *endpoint
	dead     []eventgrid.DeadLetter
}

func newRig(t testing.TB, o eventgrid.TopicOptions, s eventgrid.Subscription, status func() int) *rig {
	t.Helper()
	c := clock.NewManual(noon)
	r := &rig{clock: c, endpoint: &endpoint{clock: c, status: status}}
	o.Clock, o.Client = c, &http.Client{Transport: eventgrid.Transport{Handler: r.endpoint}}
	r.Topic = eventgrid.NewTopic(o)
	s.Name = "orders"
	if s.Queue == nil {
		s.URL = "https://webhook.test/events"
	}
	s.DeadLetter = func(d eventgrid.DeadLetter) { r.dead = append(r.dead, d) }
	if err := r.Subscribe(s); err != nil {
		t.Fatal(err)
	}
	return r
}

func always(status int) func() int { return func() int { return status } }

func order(id string) eventgrid.Event {
	return eventgrid.Event{ID: id, Subject: "orders/" + id, Type: "OrderPlaced", Time: noon,
		Data: json.RawMessage(`{"n":12345678901234567890,"html":"<&>"}`), DataVersion: "3"}
}

func (r *rig) stats(t testing.TB) eventgrid.Stats {
	t.Helper()
	s, err := r.Stats("orders")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
