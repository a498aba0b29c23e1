package ingest_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azeventgrid"

	"github.com/modelwarden/modelwarden/internal/ingest"
)

// publisher is the official client, pointed at a subscriber. It insists on
// TLS and brings its own headers.
func publisher(t *testing.T, s *ingest.Subscriber) *azeventgrid.Client {
	t.Helper()
	server := httptest.NewTLSServer(s.Events())
	t.Cleanup(server.Close)
	client, err := azeventgrid.NewClientWithSharedKeyCredential(server.URL+"/events", azcore.NewKeyCredential("key"),
		&azeventgrid.ClientOptions{ClientOptions: policy.ClientOptions{Transport: server.Client()}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestOfficialClientPublishesEventGridSchema(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
	var events []azeventgrid.Event
	for _, id := range []string{"a", "b"} {
		events = append(events, azeventgrid.Event{
			ID: to.Ptr(id), Topic: to.Ptr(workspaceID), Subject: to.Ptr("models/churn:12"),
			EventType: to.Ptr("Microsoft.MachineLearningServices.ModelRegistered"), EventTime: to.Ptr(noon),
			DataVersion: to.Ptr("1"), Data: map[string]any{"modelName": "churn", "modelVersion": "12"}})
	}
	if _, err := publisher(t, s).PublishEvents(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	wantPublished(t, q)
}

func TestOfficialClientPublishesCloudEvents(t *testing.T) {
	s, q := newSubscriber(t, ingest.Options{})
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
	if _, err := publisher(t, s).PublishCloudEvents(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	wantPublished(t, q)
}

func wantPublished(t *testing.T, q *memory) {
	t.Helper()
	for i, m := range q.all() {
		got := decode(t, m)
		if got.ID != []string{"a", "b"}[i] || got.Source != workspaceID || got.Subject != "models/churn:12" ||
			!got.Time.Equal(noon) || got.Time.Location() != time.UTC || len(got.Data) == 0 {
			t.Errorf("event %d became %+v", i, got)
		}
	}
	if len(q.all()) != 2 {
		t.Errorf("%d messages", len(q.all()))
	}
}
