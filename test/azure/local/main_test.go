package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azeventgrid"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/aznamespaces"
)

// TestEverythingIsThere uses what the command prints, and nothing else, the
// way programs use it.
func TestEverythingIsThere(t *testing.T) {
	env, printed := boot(t)
	for name, value := range env {
		if !strings.Contains(printed, fmt.Sprintf("export %s='%s'\n", name, value)) {
			t.Errorf("%s is in the file and is not printed:\n%s", name, printed)
		}
	}
	tryContainer(t, env)
	tryTopic(t, env)
	tryNamespace(t, env)
}

// boot runs the command on free ports until the test ends, and returns the
// environment that it gave to programs and what it printed for shells.
func boot(t *testing.T) (env map[string]string, printed string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "azure.json")
	out := &announcement{made: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-servicebus", "127.0.0.1:0", "-cosmos", "127.0.0.1:0", "-eventgrid", "127.0.0.1:0", "-json", file}, out)
	}()
	select {
	case err := <-ended:
		stop()
		t.Fatalf("it ended by itself: %v", err)
	case <-out.made:
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(env["SSL_CERT_FILE"]); !os.IsNotExist(err) {
			t.Errorf("the certificate is left behind (%v)", err)
		}
	})
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, json.Unmarshal(text, &env))
	return env, out.text.String()
}

// announcement keeps the one text that is written to it and tells of it.
type announcement struct {
	text bytes.Buffer
	made chan struct{}
}

func (a *announcement) Write(b []byte) (int, error) {
	defer close(a.made)
	return a.text.Write(b)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tryContainer wants the container as the product's store needs it.
func tryContainer(t *testing.T, env map[string]string) {
	t.Helper()
	key, err := azcosmos.NewKeyCredential(env["MODELWARDEN_COSMOS_KEY"])
	must(t, err)
	client, err := azcosmos.NewClientWithKey(env["MODELWARDEN_COSMOS_ENDPOINT"], key, nil)
	must(t, err)
	container, err := client.NewContainer(env["MODELWARDEN_COSMOS_DATABASE"], env["MODELWARDEN_COSMOS_CONTAINER"])
	must(t, err)
	got, err := container.Read(t.Context(), nil)
	must(t, err)
	p := got.ContainerProperties
	if p.PartitionKeyDefinition.Paths[0] != "/pk" || p.DefaultTimeToLive == nil || *p.DefaultTimeToLive != -1 || len(p.IndexingPolicy.ExcludedPaths) != 1 {
		t.Errorf("the container is %+v", p)
	}
}

// tryTopic publishes an event and wants it in the queue.
func tryTopic(t *testing.T, env map[string]string) {
	t.Helper()
	publisher, err := azeventgrid.NewClientWithSharedKeyCredential(env["EVENTGRID_TOPIC_ENDPOINT"], azcore.NewKeyCredential(env["EVENTGRID_TOPIC_KEY"]),
		&azeventgrid.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: trusting(t, env)}})
	must(t, err)
	id, subject, kind, version, now := "e1", "models/churn:1", "Microsoft.MachineLearningServices.ModelRegistered", "2", time.Now()
	_, err = publisher.PublishEvents(t.Context(), []azeventgrid.Event{{
		ID: &id, Subject: &subject, EventType: &kind, EventTime: &now, DataVersion: &version, Data: map[string]string{"modelName": "churn"},
	}}, nil)
	must(t, err)

	client, err := azservicebus.NewClientFromConnectionString(env["MODELWARDEN_SERVICEBUS_CONNECTION_STRING"], nil)
	must(t, err)
	defer func() { must(t, client.Close(context.Background())) }()
	receiver, err := client.NewReceiverForQueue(env["MODELWARDEN_SERVICEBUS_QUEUE"], nil)
	must(t, err)
	got, err := receiver.ReceiveMessages(t.Context(), 1, nil)
	must(t, err)
	if len(got) != 1 || !strings.Contains(string(got[0].Body), `"models/churn:1"`) || got[0].ApplicationProperties["aeg-event-type"] != "Notification" {
		t.Errorf("the queue has %+v", got)
	}
}

// tryNamespace publishes an event and pulls it.
func tryNamespace(t *testing.T, env map[string]string) {
	t.Helper()
	key := azcore.NewKeyCredential(env["MODELWARDEN_PULL_KEY"])
	options := azcore.ClientOptions{Transport: trusting(t, env)}
	sender, err := aznamespaces.NewSenderClientWithSharedKeyCredential(env["MODELWARDEN_PULL_ENDPOINT"], env["MODELWARDEN_PULL_TOPIC"], key, &aznamespaces.SenderClientOptions{ClientOptions: options})
	must(t, err)
	e, err := messaging.NewCloudEvent("/here", "test.happened", map[string]int{"n": 1}, nil)
	must(t, err)
	_, err = sender.SendEvent(t.Context(), &e, nil)
	must(t, err)
	receiver, err := aznamespaces.NewReceiverClientWithSharedKeyCredential(env["MODELWARDEN_PULL_ENDPOINT"], env["MODELWARDEN_PULL_TOPIC"], env["MODELWARDEN_PULL_SUBSCRIPTION"], key, &aznamespaces.ReceiverClientOptions{ClientOptions: options})
	must(t, err)
	got, err := receiver.ReceiveEvents(t.Context(), nil)
	must(t, err)
	if len(got.Details) != 1 || got.Details[0].Event.ID != e.ID {
		t.Errorf("pulled %+v", got.Details)
	}
}

// trusting is a client that trusts the certificate in the environment only.
func trusting(t *testing.T, env map[string]string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(env["SSL_CERT_FILE"])
	must(t, err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("SSL_CERT_FILE has no certificate")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
}

func TestOnlyLoopback(t *testing.T) {
	for _, name := range []string{"servicebus", "cosmos", "eventgrid"} {
		args := []string{"-servicebus", "127.0.0.1:0", "-cosmos", "127.0.0.1:0", "-eventgrid", "127.0.0.1:0", "-" + name, "0.0.0.0:0"}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // were it to start, it would end at once, and well
		if err := run(ctx, args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
			t.Errorf("-%s 0.0.0.0:0 gives %v", name, err)
		}
	}
}
