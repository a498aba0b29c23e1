package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/azure/servicebus"
	"github.com/modelwarden/modelwarden/internal/lineage"
	broker "github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// identity is an Entra identity whose token is the name of what it may do.
type identity string

func (i identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if i == "nobody" {
		return azcore.AccessToken{}, errors.New("no managed identity here")
	}
	return azcore.AccessToken{Token: string(i), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

var rightsOf = map[string]broker.Rights{
	"sender": broker.Send, "receiver": broker.Listen, "both": broker.Send | broker.Listen, "owner": broker.All, "stranger": 0,
}

// known tells the broker what an identity may do.
func known(token string) (broker.Rights, error) {
	rights, ok := rightsOf[token]
	if !ok {
		return 0, fmt.Errorf("who is %q?", token)
	}
	return rights, nil
}

// as opens the queue as an identity.
func as(t *testing.T, who identity, q broker.Queue, o servicebus.Options) *servicebus.Client {
	t.Helper()
	s := broker.New(broker.Options{Queues: map[string]broker.Queue{"q": q}, Token: known})
	t.Cleanup(s.Close)
	o.Namespace, o.Credential = "contoso.servicebus.windows.net", who
	o.Dial = func(context.Context) (net.Conn, error) { return s.Pipe(), nil }
	o.Admin = admin{s.Admin()}
	if o.Queue == "" {
		o.Queue = "q"
	}
	c, err := servicebus.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		who      identity
		queue    string
		q        broker.Queue
		want     []string
		unwanted []string
	}{
		"all is well":            {who: "owner"},
		"settings are not read":  {who: "both", q: broker.Queue{MaxDeliveryCount: 2}},
		"may not receive":        {who: "sender", want: []string{"Azure Service Bus Data Receiver", "receive from it", "read its dead letters"}, unwanted: []string{"Data Sender"}},
		"may not send":           {who: "receiver", want: []string{"Azure Service Bus Data Sender", "send to it"}, unwanted: []string{"Data Receiver"}},
		"may nothing":            {who: "stranger", want: []string{"Data Sender", "Data Receiver", "q in contoso.servicebus.windows.net"}},
		"is nobody":              {who: "nobody", want: []string{"no managed identity here"}},
		"there is no such queue": {who: "owner", queue: "p", want: []string{"there is no queue p in contoso.servicebus.windows.net"}},
		"limit too low":          {who: "owner", q: broker.Queue{MaxDeliveryCount: 2}, want: []string{"gives up after 2 deliveries", "10", "MaxDeliveryCount"}},
		"locks too short":        {who: "owner", q: broker.Queue{LockDuration: 5 * time.Second}, want: []string{"5s", "LockDuration"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				err := as(t, c.who, c.q, servicebus.Options{Queue: c.queue}).Check(t.Context())
				if (err == nil) != (len(c.want) == 0) {
					t.Fatalf("got %v", err)
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not in %v", want, err)
					}
				}
				for _, word := range c.unwanted {
					if strings.Contains(err.Error(), word) {
						t.Errorf("%q is in %v", word, err)
					}
				}
			})
		})
	}
}

func TestCheckWithoutANetwork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, err := servicebus.Open(servicebus.Options{
			Namespace: "contoso.servicebus.windows.net", Credential: identity("both"), Queue: "q", Admin: admin{http.NotFoundHandler()},
			Dial: func(context.Context) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		start := time.Now()
		if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no route") || strings.Count(err.Error(), "no route") > 1 {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestHealthy(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.must(s.Healthy(s.Context()))
		links := s.broker.Stats().TokensPut
		s.must(s.Healthy(s.Context()))
		if again := s.broker.Stats().TokensPut; again != links {
			s.Error("a broker that was reached just now was asked again")
		}
		down := s.faults.On(broker.FrameIn, "").Always()
		down.Drop()
		if err := s.Queue().Send(s.Context(), []lineage.Message{message("a")}); err == nil {
			s.Fatal("sent over a broken line")
		}
		if err := s.Healthy(s.Context()); err == nil {
			s.Error("healthy over a broken line")
		}
		s.faults.Clear()
		s.must(s.Healthy(s.Context()))
	})
}

// An idle client does not go by what was long ago.
func TestHealthyAfterSilence(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("a"))
		s.faults.On(broker.FrameIn, "").Always().Drop()
		s.Advance(time.Minute)
		if err := s.Healthy(s.Context()); err == nil {
			s.Error("healthy over a broken line")
		}
	})
}

// counting counts requests to the management API.
type counting struct {
	http.Handler
	requests int
}

func (c *counting) Do(r *http.Request) (*http.Response, error) {
	c.requests++
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestDepth(t *testing.T) {
	tell(t, broker.Queue{}, servicebus.Options{}, func(s story) {
		s.send(message("a"), message("b"), message("c"), lineage.Message{ID: "later", NotBefore: time.Now().Add(time.Hour)})
		s.must(s.settle(s.one(), lineage.Dead, 0))
		s.one()
		want := lineage.Depth{Ready: 1, Leased: -1, Delayed: 1, Dead: 1}
		if got, err := s.Queue().Depth(s.Context()); err != nil || got != want {
			s.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		s.send(message("d"))
		if got, _ := s.Queue().Depth(s.Context()); got != want {
			s.Errorf("an answer serves for 15 s, and it is %+v", got)
		}
		s.Advance(16 * time.Second)
		if got, _ := s.Queue().Depth(s.Context()); got.Ready != 2 {
			s.Errorf("after 16 s it is %+v", got)
		}
	})
}

func TestDepthWithoutRights(t *testing.T) {
	nothing := lineage.Depth{Ready: -1, Leased: -1, Delayed: -1, Dead: -1}
	for name, answer := range map[string]http.HandlerFunc{
		"401":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"404":         http.NotFound,
		"500":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"no queue":    nil,
		"nonsense":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no answer":   func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"one too big": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("<a>", 1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := broker.New(broker.Options{})
				defer s.Close()
				api := &counting{Handler: answer}
				if answer == nil {
					api.Handler = s.Admin()
				}
				c, err := servicebus.Open(servicebus.Options{ConnectionString: s.ConnectionString(), Queue: "q", Admin: api})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for range 3 {
					if got, err := c.Queue().Depth(t.Context()); err != nil || got != nothing {
						t.Errorf("got %+v, %v", got, err)
					}
				}
				if api.requests != 1 {
					t.Errorf("%d requests within a minute, want 1", api.requests)
				}
				time.Sleep(time.Minute)
				_, _ = c.Queue().Depth(t.Context())
				if api.requests != 2 {
					t.Errorf("%d requests after a minute, want 2", api.requests)
				}
			})
		})
	}
}

// Neither the key nor a signature shows in an error or in the log, whatever
// goes wrong.
func TestSecrets(t *testing.T) {
	const key = "d3Jvbmcga2V5IHRoYXQgbm9ib2R5IG1heSBzZWU="
	bubble(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		r := newRig(t, broker.Queue{}, servicebus.Options{
			ConnectionString: "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=" + key + ";UseDevelopmentEmulator=true",
			Logger:           zap.New(core),
		})
		ctx := t.Context()
		_, receive := r.Queue().Receive(ctx, 1)
		_, depth := r.Queue().Depth(ctx)
		_, _, list := r.DeadLetters().ListDead(ctx, "", 1)
		told := fmt.Sprint(r.Queue().Send(ctx, []lineage.Message{message("a")}), receive, depth, list, r.Check(ctx), r.Healthy(ctx))
		for _, l := range logs.All() {
			told += fmt.Sprint(l.Message, l.ContextMap())
		}
		if !strings.Contains(told, "InvalidSignature") {
			t.Errorf("the wrong key is not told of: %s", told)
		}
		if logs.Len() == 0 {
			t.Error("nothing was logged: this test proves nothing of logs")
		}
		for _, secret := range []string{key, "sig=", "SharedAccessSignature"} {
			if strings.Contains(told, secret) {
				t.Errorf("%q is in: %s", secret, told)
			}
		}
	})
}
