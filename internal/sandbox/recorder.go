package sandbox

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// RecorderOptions configure a Recorder. The zero value records everything and
// answers 204.
type RecorderOptions struct {
	// Secret, if not empty, is the Standard Webhooks secret (whsec_ and
	// base64); a request without a valid signature is answered 401 and not
	// recorded.
	Secret string
	// Script answers the first requests, one entry each; after it FailBefore
	// and FailAfter are the shares, 0 to 1, of requests that fail before and
	// after they are recorded, by Seed.
	Script                []Reply
	FailBefore, FailAfter float64
	Seed                  int64
	// Keep bounds the keys counted; a key beyond is answered 507. Defaults to
	// 100,000.
	Keep int
	// Now defaults to time.Now.
	Now func() time.Time
}

// Reply is a scripted answer of a Recorder.
type Reply struct {
	// Status is what to answer; 0 means 204.
	Status int
	// Unrecorded keeps the request out of the books, as when the target died
	// before it did anything.
	Unrecorded bool
	// Drop closes the connection instead of answering.
	Drop bool
	// RetryAfter is a header for Status, whole seconds.
	RetryAfter string
}

// Recorder is a webhook target that counts what reaches it by idempotency
// key. What a crash test asserts about it: each intent has exactly one key
// here, so one effect, however often it was delivered. GET answers the counts
// as JSON, for tests in another process.
type Recorder struct {
	opts RecorderOptions

	mu         sync.Mutex
	rng        *rand.Rand
	counts     map[string]int
	deliveries []Delivery
	refused    int
}

// What a Recorder keeps to read, besides the counts: the first deliveries, and
// the first part of their bodies.
const (
	maxDeliveries   = 10_000
	maxDeliveryBody = 16 << 10
)

// Delivery is one request that a Recorder recorded.
type Delivery struct {
	Key  string    `json:"key"`
	Time time.Time `json:"time"`
	Path string    `json:"path"`
	Body []byte    `json:"body"`
}

// NewRecorder makes a Recorder. The error is about the secret, without it.
func NewRecorder(o RecorderOptions) (*Recorder, error) {
	if _, err := webhookSecret(o.Secret); err != nil {
		return nil, err
	}
	o.Keep = orElse(max(o.Keep, 0), 100_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Recorder{opts: o, rng: rand.New(rand.NewPCG(uint64(o.Seed), 0x4ec0)), counts: map[string]int{}}, nil
}

func webhookSecret(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
	if err != nil {
		return nil, errors.New("recorder: the secret is not whsec_ followed by base64")
	}
	return key, nil
}

// ServeHTTP implements http.Handler.
func (c *Recorder) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		writeAnswer(rw, http.StatusOK, object{"keys": c.Counts(), "refused": c.Refused()})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequestBody))
	if err != nil {
		http.Error(rw, "the body can't be read or is over 1 MiB", http.StatusBadRequest)
		return
	}
	key, err := c.identify(r, body)
	if err != nil {
		c.mu.Lock()
		c.refused++
		c.mu.Unlock()
		http.Error(rw, err.Error(), http.StatusUnauthorized)
		return
	}
	reply := c.record(key, r.URL.Path, body)
	if reply.Drop {
		panic(http.ErrAbortHandler) // net/http's way to drop a connection
	}
	if reply.RetryAfter != "" {
		rw.Header().Set("Retry-After", reply.RetryAfter)
	}
	rw.WriteHeader(orElse(reply.Status, http.StatusNoContent))
}

// identify checks the signature, where there is a secret, and that both
// headers name one key.
func (c *Recorder) identify(r *http.Request, body []byte) (key string, err error) {
	id, idempotency := r.Header.Get("webhook-id"), r.Header.Get("Idempotency-Key")
	key = orElse(id, idempotency)
	if key == "" {
		return "", errors.New("neither webhook-id nor Idempotency-Key is set")
	}
	if id != "" && idempotency != "" && id != idempotency {
		return "", errors.New("webhook-id and Idempotency-Key differ")
	}
	if c.opts.Secret == "" {
		return key, nil
	}
	return key, c.verify(id, r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), body)
}

// verify checks a Standard Webhooks signature: one of the space-separated
// `v1,<base64>` is the HMAC-SHA256 of `<id>.<timestamp>.<body>`.
func (c *Recorder) verify(id, timestamp, signatures string, body []byte) error {
	secret, err := webhookSecret(c.opts.Secret)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body) // a hash never fails
	want := mac.Sum(nil)
	for s := range strings.FieldsSeq(signatures) {
		version, text, _ := strings.Cut(s, ",")
		got, err := base64.StdEncoding.DecodeString(text)
		if version == "v1" && err == nil && hmac.Equal(got, want) {
			return c.checkAge(timestamp)
		}
	}
	return errors.New("no signature matches")
}

// checkAge refuses a timestamp more than five minutes away, as the
// specification advises against replays.
func (c *Recorder) checkAge(timestamp string) error {
	var seconds int64
	if _, err := fmt.Sscanf(timestamp, "%d", &seconds); err != nil {
		return errors.New("webhook-timestamp is not a number of seconds")
	}
	if age := c.opts.Now().Sub(time.Unix(seconds, 0)); age.Abs() > 5*time.Minute {
		return errors.New("webhook-timestamp is more than five minutes away")
	}
	return nil
}

// record books a delivery and decides how to answer it.
func (c *Recorder) record(key, path string, body []byte) Reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	reply := c.reply()
	if reply.Unrecorded {
		return reply
	}
	if c.counts[key] == 0 && len(c.counts) >= c.opts.Keep {
		return Reply{Status: http.StatusInsufficientStorage}
	}
	c.counts[key]++
	if len(c.deliveries) < maxDeliveries {
		c.deliveries = append(c.deliveries, Delivery{
			Key: key, Time: c.opts.Now(), Path: path, Body: bytes.Clone(body[:min(len(body), maxDeliveryBody)]),
		})
	}
	return reply
}

func (c *Recorder) reply() Reply {
	if len(c.opts.Script) > 0 {
		next := c.opts.Script[0]
		c.opts.Script = c.opts.Script[1:]
		return next
	}
	switch dice := c.rng.Float64(); {
	case dice < c.opts.FailBefore:
		return Reply{Status: http.StatusServiceUnavailable, Unrecorded: true}
	case dice < c.opts.FailBefore+c.opts.FailAfter:
		return Reply{Status: http.StatusInternalServerError}
	}
	return Reply{}
}

// Counts tells how often each key was recorded.
func (c *Recorder) Counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]int, len(c.counts))
	for k, n := range c.counts {
		out[k] = n
	}
	return out
}

// Deliveries lists what was recorded, oldest first: the first 10,000, bodies
// cut at 16 KiB.
func (c *Recorder) Deliveries() []Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Delivery(nil), c.deliveries...)
}

// Refused counts requests without a key or with a wrong signature.
func (c *Recorder) Refused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}
