package cosmos_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/modelwarden/modelwarden/test/azure/clock"
	"github.com/modelwarden/modelwarden/test/azure/cosmos"
)

func TestWrongKey(t *testing.T) {
	s := cosmos.New(cosmos.Options{})
	c := clientWithKey(t, s, "d3Jvbmc=")
	if _, err := c.CreateDatabase(t.Context(), azcosmos.DatabaseProperties{ID: "db"}, nil); status(t, err) != 401 {
		t.Errorf("got %v", err)
	}
}

// TestOldSignature lets the server's clock run ahead of the client's.
func TestOldSignature(t *testing.T) {
	for ahead, want := range map[time.Duration]int{14 * time.Minute: 404, 16 * time.Minute: 403, -16 * time.Minute: 403} {
		s := cosmos.New(cosmos.Options{Clock: clock.NewManual(time.Now().Add(ahead))})
		db, err := client(t, s).NewDatabase("none")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Read(t.Context(), nil); status(t, err) != want {
			t.Errorf("%v ahead: %v, want %d", ahead, err, want)
		}
	}
}

func TestRequestsThatAreNotSigned(t *testing.T) {
	s := cosmos.New(cosmos.Options{})
	for name, header := range map[string]string{
		"nothing": "", "nonsense": "Bearer x", "bad escape": "%zz", "no date": "type%3dmaster%26ver%3d1.0%26sig%3dAAAA", "another type": "type=resource&ver=1&sig=x",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://account.test/dbs", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		resp, err := s.Transport().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 401 || !strings.Contains(string(body), `"code":"Unauthorized"`) || resp.Header.Get("x-ms-activity-id") == "" {
			t.Errorf("%s: %d %s, %v", name, resp.StatusCode, body, err)
		}
	}
}

// identity is a credential whose token is its own name.
type identity string

func (i identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(i), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestIdentities(t *testing.T) {
	s := cosmos.New(cosmos.Options{Token: func(jwt string) (bool, error) {
		if jwt == "stranger" {
			return false, errors.New("of another tenant")
		}
		return jwt == "reader", nil
	}})
	s.CreateContainer("db", "items", cosmos.ContainerOptions{})
	item := []byte(`{"id":"a","pk":"p"}`)
	for _, c := range []struct {
		who                     identity
		read, write, administer int
	}{{"writer", 0, 0, 403}, {"reader", 0, 403, 403}, {"stranger", 401, 401, 401}} {
		sdk, err := azcosmos.NewClient("https://account.test/", c.who, options(s))
		if err != nil {
			t.Fatal(err)
		}
		ct, err := sdk.NewContainer("db", "items")
		if err != nil {
			t.Fatal(err)
		}
		_, write := ct.UpsertItem(t.Context(), pk("p"), item, nil)
		_, read := ct.ReadItem(t.Context(), pk("p"), "a", nil)
		_, administer := sdk.CreateDatabase(t.Context(), azcosmos.DatabaseProperties{ID: "x"}, nil)
		if status(t, read) != c.read || status(t, write) != c.write || status(t, administer) != c.administer {
			t.Errorf("%s: read %v, write %v, create a database %v", c.who, read, write, administer)
		}
	}
}

// TestOverTheNetwork starts and stops the server, twice.
func TestOverTheNetwork(t *testing.T) {
	s := cosmos.New(cosmos.Options{})
	s.CreateContainer("db", "items", cosmos.ContainerOptions{})
	if err := s.Start("0.0.0.0:0"); err == nil {
		t.Error("it listens to everybody")
	}
	for round := range 2 {
		if err := s.Start("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		cred, err := azcosmos.NewKeyCredential(cosmos.DefaultKey)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		c, err := azcosmos.NewClientWithKey(s.URL(), cred, &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}}})
		if err != nil {
			t.Fatal(err)
		}
		ct, err := c.NewContainer("db", "items")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ct.UpsertItem(t.Context(), pk("p"), []byte(`{"id":"é a+b%","pk":"p"}`), nil); err != nil {
			t.Error(err)
		}
		if _, err := ct.ReadItem(t.Context(), pk("p"), "é a+b%", nil); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
