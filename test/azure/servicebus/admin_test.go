package servicebus_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// handlerTransport carries the admin client's https requests to a handler.
type handlerTransport struct{ h http.Handler }

func (t handlerTransport) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	t.h.ServeHTTP(w, in)
	return w.Result(), nil
}

func adminClient(t *testing.T, s *servicebus.Server, connectionString string) *admin.Client {
	t.Helper()
	o := &admin.ClientOptions{}
	o.Transport = handlerTransport{s.Admin()}
	c, err := admin.NewClientFromConnectionString(connectionString, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAdminCounts(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send(numbered(5)...)
		r := d.receiver()
		got := d.take(r, 3)
		d.must(r.DeadLetterMessage(d.ctx, got[0], nil))
		d.must(r.DeferMessage(d.ctx, got[1], nil))
		_, err := d.sender().ScheduleMessages(d.ctx, []*azservicebus.Message{{}}, time.Now().Add(time.Hour), nil)
		d.must(err)
		got2, err := adminClient(t, d.s, d.s.ConnectionString()).GetQueueRuntimeProperties(d.ctx, "events", nil)
		d.must(err)
		if got2.ActiveMessageCount != 4 || got2.DeadLetterMessageCount != 1 || got2.ScheduledMessageCount != 1 ||
			got2.TotalMessageCount != 6 || got2.SizeInBytes == 0 || !got2.AccessedAt.IsZero() || got2.CreatedAt.IsZero() {
			t.Errorf("runtime properties %+v", got2.QueueRuntimeProperties)
		}
	})
}

func TestAdminMissingQueue(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		c := adminClient(t, d.s, d.s.ConnectionString())
		if got, err := c.GetQueueRuntimeProperties(d.ctx, "nowhere", nil); got != nil || err != nil {
			t.Errorf("a missing queue: %v, %v", got, err)
		}
		_, err := c.DeleteQueue(d.ctx, "nowhere", nil)
		wantStatus(t, err, http.StatusNotFound)
		_, err = c.UpdateQueue(d.ctx, "nowhere", admin.QueueProperties{}, nil)
		wantStatus(t, err, http.StatusNotFound)
	})
}

func wantStatus(t *testing.T, err error, want int) {
	t.Helper()
	var re *azcore.ResponseError
	if !errors.As(err, &re) || re.StatusCode != want {
		t.Errorf("error %v, want status %d", err, want)
	}
}

func TestAdminCreatesUpdatesLists(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		c := adminClient(t, d.s, d.s.ConnectionString())
		props := &admin.QueueProperties{
			LockDuration: ptr("PT30S"), MaxDeliveryCount: ptr(int32(3)), RequiresDuplicateDetection: ptr(true),
			DefaultMessageTimeToLive: ptr("P1DT2H"), DeadLetteringOnMessageExpiration: ptr(true), MaxSizeInMegabytes: ptr(int32(2048)),
		}
		made, err := c.CreateQueue(d.ctx, "Team/new", &admin.CreateQueueOptions{Properties: props})
		d.must(err)
		if made.QueueName != "Team/new" || *made.LockDuration != "PT30S" || *made.MaxDeliveryCount != 3 || *made.DefaultMessageTimeToLive != "P1DT2H" ||
			*made.DuplicateDetectionHistoryTimeWindow != "PT10M" || !*made.RequiresDuplicateDetection || *made.MaxSizeInMegabytes != 2048 ||
			!*made.DeadLetteringOnMessageExpiration || *made.MaxMessageSizeInKilobytes != 256 {
			t.Errorf("made %+v", made.QueueProperties)
		}
		_, err = c.CreateQueue(d.ctx, "team/NEW", nil)
		wantStatus(t, err, http.StatusConflict)
		_, err = c.CreateQueue(d.ctx, "bad", &admin.CreateQueueOptions{Properties: &admin.QueueProperties{LockDuration: ptr("30 seconds")}})
		wantStatus(t, err, http.StatusBadRequest)

		props.LockDuration = ptr("PT5M")
		props.DefaultMessageTimeToLive = ptr("P10675199DT2H48M5.4775807S")
		_, err = c.UpdateQueue(d.ctx, "team/new", *props, nil)
		d.must(err)
		got, err := c.GetQueue(d.ctx, "team/new", nil)
		d.must(err)
		if *got.LockDuration != "PT5M" || *got.DefaultMessageTimeToLive != "P10675199DT2H48M5.4775807S" {
			t.Errorf("updated %+v", got.QueueProperties)
		}

		// It is a queue like any other.
		s, err := d.c.NewSender("Team/new", nil)
		d.must(err)
		d.must(s.SendMessage(d.ctx, &azservicebus.Message{}, nil))
		if n := d.s.Counts("team/new"); n.Active != 1 {
			t.Errorf("counts %+v", n)
		}
		var names []string
		for pager := c.NewListQueuesPager(&admin.ListQueuesOptions{MaxPageSize: 1}); pager.More(); {
			page, err := pager.NextPage(d.ctx)
			d.must(err)
			for _, q := range page.Queues {
				names = append(names, q.QueueName)
			}
		}
		d.same("queues", names, []string{"events", "Team/new"})
	})
}

// A deleted queue takes its links with it.
func TestAdminDeletes(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		s := d.sender()
		d.must(s.SendMessage(d.ctx, &azservicebus.Message{TimeToLive: ptr(time.Hour)}, nil))
		waiting := make(chan error)
		r := d.receiver()
		d.take(r, 1)
		go func() {
			_, err := r.ReceiveMessages(d.ctx, 1, nil)
			waiting <- err
		}()
		time.Sleep(time.Second)
		_, err := adminClient(t, d.s, d.s.ConnectionString()).DeleteQueue(d.ctx, "events", nil)
		d.must(err)
		d.condition(<-waiting, "amqp:not-found")
		if err := s.SendMessage(d.ctx, &azservicebus.Message{}, nil); err == nil {
			t.Error("sent to a queue that is no more")
		}
		d.counts(servicebus.Counts{})
	})
}

func TestAdminNeedsManage(t *testing.T) {
	o := queue(servicebus.Queue{})
	o.Keys = map[string]servicebus.Key{"manage": {Key: "k", Rights: servicebus.Manage}, "listen": {Key: "l", Rights: servicebus.Listen | servicebus.Send}}
	o.Token = checkToken
	within(t, o, func(d *desk) {
		listen := "Endpoint=sb://localhost;SharedAccessKeyName=listen;SharedAccessKey=l"
		_, err := adminClient(t, d.s, listen).GetQueueRuntimeProperties(d.ctx, "events", nil)
		wantStatus(t, err, http.StatusUnauthorized)
		_, err = adminClient(t, d.s, strings.Replace(listen, "=l", "=x", 1)).GetQueueRuntimeProperties(d.ctx, "events", nil)
		wantStatus(t, err, http.StatusUnauthorized)
		for principal, want := range map[string]int{"owner": 200, "sender": 401, "nobody": 401} {
			opts := &admin.ClientOptions{}
			opts.Transport = handlerTransport{d.s.Admin()}
			c, err := admin.NewClient("localhost", entra{principal, "1h"}, opts)
			d.must(err)
			_, err = c.GetQueue(d.ctx, "events", nil)
			if want == 200 {
				d.must(err)
			} else {
				wantStatus(t, err, want)
			}
		}
	})
}

// KEDA and other clients read the XML themselves.
func TestAdminXML(t *testing.T) {
	s := servicebus.New(queue(servicebus.Queue{}))
	defer s.Close()
	get := func(path, token string) (int, string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		s.Admin().ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(body)
	}
	token := sas(s, "https://example.com/events", time.Now().Add(time.Hour))
	code, body := get("/events?api-version=2021-05", token)
	for _, want := range []string{
		`<entry xmlns="http://www.w3.org/2005/Atom">`, `<title>events</title>`,
		`<QueueDescription xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect">`,
		`<CountDetails xmlns:d2p1="http://schemas.microsoft.com/netservices/2011/06/servicebus"><d2p1:ActiveMessageCount>0</d2p1:ActiveMessageCount>`,
		// @azure/service-bus for JavaScript reads no description without these.
		`</CountDetails><AutoDeleteOnIdle>P10675199DT2H48M5.4775807S</AutoDeleteOnIdle><EnablePartitioning>false</EnablePartitioning>` +
			`<EntityAvailabilityStatus>Available</EntityAvailabilityStatus><EnableExpress>false</EnableExpress>`,
	} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%d without %s:\n%s", code, want, body)
		}
	}
	var any struct{}
	if err := xml.Unmarshal([]byte(body), &any); err != nil {
		t.Error(err)
	}
	if code, _ := get("/events", token); code != 400 {
		t.Errorf("without a version: %d", code)
	}
	if code, body := get("/other?api-version=1", token); code != 401 || !strings.Contains(body, "<Code>401</Code>") {
		t.Errorf("with a token for another path: %d %s", code, body)
	}
	if code, _ := get("/events?api-version=1", ""); code != 401 {
		t.Errorf("without a token: %d", code)
	}
}
