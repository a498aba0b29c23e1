package eventgrid_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelwarden/modelwarden/internal/azure/eventgrid"
	"github.com/modelwarden/modelwarden/internal/lineage"
	azure "github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

const sent = `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":12345678901234567890,"html":"<&>"},"big":98765432109876543210}`

// namespace has one topic with one subscription.
func namespace(t testing.TB, faults *azure.Faults, events ...string) *azure.Namespace {
	t.Helper()
	n := azure.NewNamespace(azure.NamespaceOptions{Auth: auth(), Faults: faults})
	if err := n.Subscribe("events", azure.QueueSubscription{Name: "warden"}); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := n.Publish("events", json.RawMessage(e)); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func receive(t testing.TB, s *eventgrid.Source) []lineage.Delivery {
	t.Helper()
	page, err := s.Receive(t.Context(), 100, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func leases(page []lineage.Delivery) []lineage.Lease {
	out := make([]lineage.Lease, len(page))
	for i, d := range page {
		out[i] = d.Lease
	}
	return out
}

func TestEventsComeAsTheyWereSent(t *testing.T) {
	// None but the first is an event that the SDK could read.
	events := []string{sent, `{"specversion":"1.0","id":"2","source":"/s","type":"t","time":"2026-01-02T03:04:05"}`, `"text"`, `null`, `[]`, `{}`}
	s := source(t, namespace(t, nil, events...), nil)
	page := receive(t, s)
	if len(page) != len(events) {
		t.Fatalf("%d events of %d came", len(page), len(events))
	}
	for i, want := range events {
		if string(page[i].Body) != want || page[i].Attempt != 1 || page[i].Lease == "" {
			t.Errorf("event %d is %s (attempt %d), want %s", i, page[i].Body, page[i].Attempt, want)
		}
	}
	if err := s.Acknowledge(t.Context(), leases(page)); err != nil {
		t.Errorf("acknowledge: %v", err)
	}
}

func TestSourceSettles(t *testing.T) {
	virtual("an empty page", t, func(t *testing.T) {
		start := time.Now()
		if page := receive(t, source(t, namespace(t, nil), nil)); len(page) != 0 || time.Since(start) != 10*time.Second {
			t.Errorf("%d events after %v", len(page), time.Since(start))
		}
	})
	virtual("release", t, func(t *testing.T) {
		for _, tt := range []struct{ after, want time.Duration }{
			{0, 0}, {time.Second, 10 * time.Second}, {10 * time.Second, 10 * time.Second}, {11 * time.Second, time.Minute},
			{2 * time.Minute, 10 * time.Minute}, {time.Hour, time.Hour}, {24 * time.Hour, time.Hour},
		} {
			s := source(t, namespace(t, nil, sent), nil)
			start := time.Now()
			if err := s.Release(t.Context(), leases(receive(t, s)), tt.after); err != nil {
				t.Fatal(err)
			}
			page := receive(t, s)
			for len(page) == 0 {
				page = receive(t, s)
			}
			if time.Since(start) != tt.want || page[0].Attempt != 2 {
				t.Errorf("released for %v: back after %v as attempt %d", tt.after, time.Since(start), page[0].Attempt)
			}
		}
	})
	virtual("extend", t, func(t *testing.T) {
		s := source(t, namespace(t, nil, sent), nil)
		page := receive(t, s)
		for range 3 {
			time.Sleep(40 * time.Second)
			if err := s.Extend(t.Context(), leases(page)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Acknowledge(t.Context(), leases(page)); err != nil {
			t.Error(err)
		}
	})
	virtual("locks lost", t, func(t *testing.T) {
		s := source(t, namespace(t, nil, sent, sent), nil)
		page := receive(t, s)
		if err := s.Acknowledge(t.Context(), leases(page[:1])); err != nil {
			t.Fatal(err)
		}
		var failed *lineage.SettleError
		err := s.Acknowledge(t.Context(), append(leases(page), "nonsense"))
		if !errors.As(err, &failed) || len(failed.Failed) != 2 || failed.Failed[1] != nil ||
			!errors.Is(failed.Failed[0], lineage.ErrLeaseLost) || !errors.Is(failed.Failed[2], lineage.ErrLeaseLost) {
			t.Errorf("acknowledge: %+v", err)
		}
		if err := s.Extend(t.Context(), leases(page)); !errors.Is(err, lineage.ErrLeaseLost) {
			t.Errorf("extend: %v", err)
		}
		if err := s.Release(t.Context(), leases(page), 0); !errors.Is(err, lineage.ErrLeaseLost) {
			t.Errorf("release: %v", err)
		}
	})
}

func TestAnswersAboutLocksAreReadWhole(t *testing.T) {
	body := `{"succeededLockTokens":["a"],"failedLockTokens":[{"lockToken":"b","error":{"code":"InternalServerError","message":"$CREDENTIAL"}}]}`
	s := source(t, canned{200, nil, body}, nil)
	err := s.Acknowledge(t.Context(), []lineage.Lease{"a", "b", "c"})
	var failed *lineage.SettleError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 || failed.Failed[1] == nil || failed.Failed[2] == nil || errors.Is(err, lineage.ErrLeaseLost) {
		t.Errorf("got %v", err)
	}
	assertNoLeak(t, failed.Failed[1])
	if err := s.Acknowledge(t.Context(), nil); err != nil {
		t.Errorf("nothing to acknowledge: %v", err)
	}
}

func TestSourceSortsErrors(t *testing.T) {
	const body = `{"error":{"code":"X","message":"the header was $CREDENTIAL, so no"}}`
	tests := []struct {
		status    int
		header    http.Header
		permanent bool
		after     time.Duration
		says      string
	}{
		{401, nil, true, 0, "the key is wrong"},
		{403, nil, true, 0, "the key is wrong"},
		{404, nil, true, 0, "does not exist"},
		{410, nil, true, 0, "does not exist"},
		{400, nil, true, 0, "400 Bad Request: the header was SharedAccessKey [redacted], so no"},
		{408, nil, false, 0, "408"},
		{429, http.Header{"Retry-After": {"7"}}, false, 7 * time.Second, "429"},
		{503, http.Header{"Retry-After": {"99999"}}, false, 10 * time.Minute, "503"},
		{503, http.Header{"Retry-After": {"soon"}}, false, 0, "503"},
		{503, http.Header{"Retry-After": {time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)}}, false, 0, "503"},
		{500, nil, false, 0, "500"},
		{202, nil, true, 0, "receive"},
	}
	for _, tt := range tests {
		s := source(t, canned{tt.status, tt.header, body}, nil)
		_, err := s.Receive(t.Context(), 1, 10*time.Second)
		if err == nil || isPermanent(err) != tt.permanent || retryAfter(err) != tt.after || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%d: %v (permanent %v, after %v), want %+v", tt.status, err, isPermanent(err), retryAfter(err), tt)
		}
		assertNoLeak(t, err)
	}
}

func TestBrokenConnectionsAreWorthARetry(t *testing.T) {
	for _, fault := range []azure.Fault{azure.DropBefore, azure.DropAfter} {
		s := source(t, namespace(t, &azure.Faults{Script: []azure.Fault{fault, fault}}, sent), nil)
		_, err := s.Receive(t.Context(), 1, 10*time.Second)
		if err == nil || isPermanent(err) || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("receive: %v", err)
		}
		err = s.Acknowledge(t.Context(), []lineage.Lease{"x"})
		if err == nil || isPermanent(err) {
			t.Errorf("acknowledge: %v", err)
		}
		assertNoLeak(t, err)
	}
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := source(t, namespace(t, nil), nil).Receive(ctx, 1, time.Minute)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}

func TestSourceCheckNamesWhatIsMissing(t *testing.T) {
	n := namespace(t, nil, sent)
	tests := map[string]struct {
		change func(*eventgrid.SourceOptions)
		says   string
	}{
		"key":          {nil, ""},
		"identity":     {func(o *eventgrid.SourceOptions) { o.Key, o.Credential = "", credential(theToken) }, ""},
		"wrong key":    {func(o *eventgrid.SourceOptions) { o.Key = "d3Jvbmc=" }, "the key is wrong"},
		"no role":      {func(o *eventgrid.SourceOptions) { o.Key, o.Credential = "", credential("no role") }, `the role "EventGrid Data Receiver"`},
		"bad token":    {func(o *eventgrid.SourceOptions) { o.Key, o.Credential = "", credential("old") }, `the role "EventGrid Data Receiver"`},
		"topic":        {func(o *eventgrid.SourceOptions) { o.Topic = "other" }, "other could not be found"},
		"subscription": {func(o *eventgrid.SourceOptions) { o.Subscription = "other" }, "does not exist"},
	}
	for name, tt := range tests {
		err := source(t, n, tt.change).Check(t.Context())
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || !isPermanent(err)) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
		assertNoLeak(t, err)
	}
	if stats, _ := n.QueueStats("events", "warden"); stats.Ready != 1 {
		t.Errorf("Check changed something: %+v", stats)
	}
	if err := source(t, canned{400, nil, "{}"}, nil).Check(t.Context()); err != nil {
		t.Errorf("a namespace that dislikes the lock: %v", err)
	}
	if err := source(t, canned{503, nil, "{}"}, nil).Check(t.Context()); err == nil || isPermanent(err) {
		t.Errorf("a namespace that is busy: %v", err)
	}
}

func TestSourceOptionsThatCanNotWork(t *testing.T) {
	good := eventgrid.SourceOptions{Endpoint: "https://ns.test", Topic: "t", Subscription: "s", Key: theKey}
	tests := map[string]func(*eventgrid.SourceOptions){
		"https":        func(o *eventgrid.SourceOptions) { o.Endpoint = "http://ns.test" },
		"an https":     func(o *eventgrid.SourceOptions) { o.Endpoint = "ns.test" },
		"no user":      func(o *eventgrid.SourceOptions) { o.Endpoint = "https://u:p@ns.test" },
		"key or a":     func(o *eventgrid.SourceOptions) { o.Key = "" },
		"either a key": func(o *eventgrid.SourceOptions) { o.Credential = credential("x") },
		"topic and":    func(o *eventgrid.SourceOptions) { o.Topic = "" },
		"subscription": func(o *eventgrid.SourceOptions) { o.Subscription = "" },
	}
	for want, spoil := range tests {
		o := good
		spoil(&o)
		_, err := eventgrid.NewSource(o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		assertNoLeak(t, err)
	}
	if _, err := eventgrid.NewSource(good); err != nil {
		t.Error(err)
	}
}
