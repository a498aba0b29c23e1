package eventgrid_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azeventgrid"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// The subscriber's own tests write requests by hand; these let the official
// client write them.

const workspaceID = "/subscriptions/5f0c1e2a-7b3d-4c55-9a10-3d2f6b8c9e01/resourceGroups/rg-risk-prod/providers/" +
	"Microsoft.MachineLearningServices/workspaces/contoso-ml"

// inbox is a queue that keeps what it gets; the client posts one batch at a
// time.
type inbox struct{ messages []lineage.Message }

func (q *inbox) Send(_ context.Context, messages []lineage.Message) error {
	q.messages = append(q.messages, messages...)
	return nil
}

// official is the SDK's client, pointed at a subscriber. It insists on TLS and
// brings its own headers.
func official(t *testing.T) (*azeventgrid.Client, *inbox) {
	t.Helper()
	q := &inbox{}
	s, err := ingest.New(ingest.Options{Queue: q, Authenticator: ingest.None()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(s.Events())
	t.Cleanup(server.Close)
	client, err := azeventgrid.NewClientWithSharedKeyCredential(server.URL+"/events", azcore.NewKeyCredential("key"),
		&azeventgrid.ClientOptions{ClientOptions: azpolicy.ClientOptions{Transport: server.Client()}})
	if err != nil {
		t.Fatal(err)
	}
	return client, q
}

func TestOfficialClientPostsEventGridSchema(t *testing.T) {
	client, q := official(t)
	var events []azeventgrid.Event
	for _, id := range []string{"a", "b"} {
		events = append(events, azeventgrid.Event{
			ID: to.Ptr(id), Topic: to.Ptr(workspaceID), Subject: to.Ptr("models/churn:12"),
			EventType: to.Ptr("Microsoft.MachineLearningServices.ModelRegistered"), EventTime: to.Ptr(noon),
			DataVersion: to.Ptr("1"), Data: map[string]any{"modelName": "churn", "modelVersion": "12"}})
	}
	if _, err := client.PublishEvents(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	q.holds(t, "a", "b")
}

func TestOfficialClientPostsCloudEvents(t *testing.T) {
	client, q := official(t)
	var events []messaging.CloudEvent
	for _, id := range []string{"a", "b"} {
		e, err := messaging.NewCloudEvent(workspaceID, "Microsoft.MachineLearningServices.ModelRegistered",
			map[string]any{"modelName": "churn", "modelVersion": "12"},
			&messaging.CloudEventOptions{Subject: to.Ptr("models/churn:12"), Time: to.Ptr(noon)})
		if err != nil {
			t.Fatal(err)
		}
		e.ID = id
		events = append(events, e)
	}
	if _, err := client.PublishCloudEvents(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	q.holds(t, "a", "b")
}

// holds checks that the queue has the registrations with these ids, one a
// message.
func (q *inbox) holds(t *testing.T, ids ...string) {
	t.Helper()
	if len(q.messages) != len(ids) {
		t.Fatalf("%d messages, want %d", len(q.messages), len(ids))
	}
	for i, m := range q.messages {
		parts, err := event.Split("", nil, m.Body)
		if err != nil || len(parts) != 1 || parts[0].Problem != nil {
			t.Fatalf("queued body %q: %v, %+v", m.Body, err, parts)
		}
		got := parts[0].Envelope
		if got.ID != ids[i] || got.Source != workspaceID || got.Subject != "models/churn:12" ||
			!got.Time.Equal(noon) || got.Time.Location() != time.UTC || len(got.Data) == 0 {
			t.Errorf("event %d became %+v", i, got)
		}
	}
}
