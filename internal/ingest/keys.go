package ingest

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeySet  = 1 << 20 // bytes
	maxKeys    = 100
	keyTimeout = 5 * time.Second
	// keyEvery is the least time between two fetches of a key set, whatever
	// tokens come: ten an unknown key id can't hammer the key server.
	keyEvery = 10 * time.Second
	// keyMaxAge is when known keys are fetched again although nobody missed
	// one, so that a withdrawn key does not stay good. Microsoft asks for
	// once a day at least.
	keyMaxAge = 12 * time.Hour
)

var (
	errUnknownKey = errors.New("no such key in a fresh key set")
	errTooSoon    = errors.New("unknown key, and the key set was fetched moments ago")
)

// keySet holds one tenant's signing keys. go-oidc's RemoteKeySet would fetch
// for every unknown key id, keep withdrawn keys for ever, and not tell a
// fetch that failed from a signature that is wrong; here those are 503 and
// 401. Keys once fetched stay good while the key server is out of reach.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	keys    map[string]*rsa.PublicKey
	fetched time.Time     // of the last success
	tried   time.Time     // of the last attempt
	err     error         // of the last attempt
	flight  chan struct{} // closed at the end of the running fetch; nil if none runs
}

func newKeySet(url string, client *http.Client, now func() time.Time) *keySet {
	return &keySet{url: url, client: client, now: now}
}

// newKeyClient follows no redirects: keys come from where the configuration
// says or not at all.
func newKeyClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		Timeout:       keyTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// find returns the key of that id. errUnknownKey means that the key server
// was asked after the question came up and does not have it; every other
// error means that it could not be asked.
func (k *keySet) find(ctx context.Context, id string) (*rsa.PublicKey, error) {
	key, flight, err := k.lookup(id)
	if key != nil || err != nil {
		return key, err
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the key set: %w", ctx.Err())
	case <-flight:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[id]; key != nil {
		return key, nil
	}
	if k.err != nil {
		return nil, k.err
	}
	return nil, errUnknownKey
}

// lookup returns a known key, or the fetch to wait for, or why there is none.
func (k *keySet) lookup(id string) (*rsa.PublicKey, <-chan struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	key := k.keys[id]
	due := key == nil || now.Sub(k.fetched) >= keyMaxAge
	if due && k.flight == nil && now.Sub(k.tried) >= keyEvery {
		k.tried, k.flight = now, make(chan struct{})
		go k.refresh(k.flight)
	}
	switch {
	case key != nil: // perhaps an old one: good until a newer set says otherwise
		return key, nil, nil
	case k.flight != nil:
		return nil, k.flight, nil
	case k.err != nil:
		return nil, nil, k.err
	}
	return nil, nil, errTooSoon
}

// refresh runs apart from the request that wanted it, so that this one's end
// does not spoil it for others; the client's timeout bounds it.
func (k *keySet) refresh(done chan struct{}) {
	_ = k.load(context.Background()) // kept in k.err
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flight = nil
	close(done)
}

// load fetches the keys and keeps them; a failure leaves the known ones.
func (k *keySet) load(ctx context.Context) error {
	keys, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	if err == nil {
		k.keys, k.fetched = keys, k.now()
	}
	return err
}

func (k *keySet) fetch(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("key set address: %w", err)
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch key set: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch key set from %s: status %d", k.host(), resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	if len(text) > maxKeySet {
		return nil, fmt.Errorf("key set of %s is larger than %d bytes", k.host(), maxKeySet)
	}
	return parseKeys(text)
}

func (k *keySet) host() string {
	if u, err := url.Parse(k.url); err == nil {
		return u.Host
	}
	return "the key server"
}

// parseKeys keeps the RSA signature keys that have an id. Keys of kinds that
// we don't know are passed over, as RFC 7517 section 5 asks.
func parseKeys(text []byte) (map[string]*rsa.PublicKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("key set is not JSON: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("key set has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	keys := make(map[string]*rsa.PublicKey)
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		if json.Unmarshal(raw, &jwk) != nil || jwk.KeyID == "" || (jwk.Use != "" && jwk.Use != "sig") {
			continue
		}
		if public, ok := jwk.Key.(*rsa.PublicKey); ok {
			keys[jwk.KeyID] = public
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("key set has no RSA signature key")
	}
	return keys, nil
}
