//go:build peers

package azure

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/modelwarden/modelwarden/test/azure/eventgrid"
	"github.com/modelwarden/modelwarden/test/azure/local/stack"
)

// serveControl lets a script do what is done in Azure's portal, or by time:
// each request is a POST of one JSON object.
func (r *rig) serveControl(t *testing.T) (url string) {
	t.Helper()
	topics := map[eventgrid.Schema]*customTopic{eventgrid.EventGrid: newCustomTopic(t, eventgrid.EventGrid), eventgrid.CloudEvents: newCustomTopic(t, eventgrid.CloudEvents)}
	admin := httptest.NewTLSServer(r.ServiceBus.Admin())
	t.Cleanup(admin.Close)
	mux := http.NewServeMux()
	handle(mux, "/servicebus/admin", func(struct{}) (any, error) { return admin.URL, nil })
	handle(mux, "/servicebus/expire-locks", func(in struct{ Queue string }) (any, error) { return r.ServiceBus.ExpireLocks(in.Queue), nil })
	handle(mux, "/eventgrid/topic", func(in struct{ Schema eventgrid.Schema }) (any, error) { return topics[in.Schema].endpoint, nil })
	handle(mux, "/eventgrid/subscribe", func(in struct {
		Schema eventgrid.Schema
		Name   string
		URL    string
	}) (any, error) {
		return nil, topics[in.Schema].Subscribe(eventgrid.Subscription{Name: in.Name, URL: in.URL, Schema: in.Schema})
	})
	handle(mux, "/namespace/stats", func(struct{}) (any, error) { return r.Namespace.QueueStats(stack.Topic, stack.Subscription) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// customTopic is an Event Grid topic on its own address.
type customTopic struct {
	*eventgrid.Topic
	endpoint string
}

func newCustomTopic(t *testing.T, schema eventgrid.Schema) *customTopic {
	topic := eventgrid.NewTopic(eventgrid.TopicOptions{Schema: schema, Auth: eventgrid.Auth{Keys: []string{stack.Key}}})
	server := eventgrid.StartTLS(topic)
	t.Cleanup(server.Close)
	return &customTopic{topic, server.URL + "/api/events"}
}

// handle answers requests with what f returns as JSON.
func handle[In any](mux *http.ServeMux, path string, f func(In) (any, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		err := json.NewDecoder(r.Body).Decode(&in)
		var out any
		if err == nil {
			out, err = f(in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(out) // a script that is gone needs no answer
	})
}
