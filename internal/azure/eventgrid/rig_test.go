package eventgrid_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/modelwarden/modelwarden/internal/azure/eventgrid"
	"github.com/modelwarden/modelwarden/internal/policy"
	azure "github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

const (
	theKey   = "c3VwZXItc2VjcmV0LWtleQ=="
	theToken = "bearer-cr3dential"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// credential is an identity whose token never changes.
type credential string

func (c credential) GetToken(context.Context, azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// auth lets in theKey and theToken; the bearer of "no role" has none.
func auth() azure.Auth {
	return azure.Auth{Keys: []string{theKey}, Token: func(token string) error {
		switch token {
		case theToken:
			return nil
		case "no role":
			return azure.ErrForbidden
		}
		return errors.New("expired")
	}}
}

// canned answers every request alike. It echoes the credential, as a bad
// proxy might.
type canned struct {
	status int
	header http.Header
	body   string
}

func (c canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, values := range c.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(c.status)
	credentials := r.Header.Get("Authorization") + r.Header.Get("aeg-sas-key")
	_, _ = fmt.Fprint(w, strings.ReplaceAll(c.body, "$CREDENTIAL", credentials))
}

func source(t testing.TB, h http.Handler, change func(*eventgrid.SourceOptions)) *eventgrid.Source {
	t.Helper()
	o := eventgrid.SourceOptions{Endpoint: "https://ns.test", Topic: "events", Subscription: "warden", Key: theKey,
		Transport: azure.Transport{Handler: h}}
	if change != nil {
		change(&o)
	}
	s, err := eventgrid.NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publisher(t testing.TB, h http.Handler, change func(*eventgrid.PublisherOptions)) *eventgrid.Publisher {
	t.Helper()
	o := eventgrid.PublisherOptions{Endpoint: "https://topic.test/api/events", Key: theKey, Transport: azure.Transport{Handler: h}}
	if change != nil {
		change(&o)
	}
	p, err := eventgrid.NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// assertNoLeak fails when an error, however printed, or anything that it
// wraps shows a credential.
func assertNoLeak(t testing.TB, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, text := range []string{e.Error(), fmt.Sprintf("%+v %#v", e, e)} {
			for _, secret := range []string{theKey, theToken} {
				if strings.Contains(text, secret) {
					t.Errorf("a credential shows in %s", text)
				}
			}
		}
		var sdk *azcore.ResponseError
		if errors.As(e, &sdk) {
			t.Errorf("%v keeps the SDK's error, which holds the request", e)
		}
	}
}

func isPermanent(err error) bool {
	var p *policy.PermanentError
	return errors.As(err, &p)
}

func retryAfter(err error) time.Duration {
	var r *policy.RetryAfterError
	if errors.As(err, &r) {
		return r.After
	}
	return 0
}

func virtual(name string, t *testing.T, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
