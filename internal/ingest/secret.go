package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
)

// Defaults and limits of SecretOptions.
const (
	DefaultSecretHeader = "X-Modelwarden-Secret"
	DefaultSecretParam  = "code"
	// MinSecretLength is in bytes. Secrets should be random: 16 bytes of
	// base64 hold 96 bits.
	MinSecretLength = 16
	// MaxSecrets are accepted at once: the old one and the new one.
	MaxSecrets = 2
)

// SecretOptions configure SharedSecret.
type SecretOptions struct {
	// Secrets are the accepted secrets: one, or two while they are rotated.
	Secrets []string
	// Header carries the secret; "Authorization: Bearer" does so as well.
	// Defaults to DefaultSecretHeader.
	Header string
	// Param is the query parameter that carries the secret, for senders that
	// can set nothing but a URL (Event Grid's validation handshake repeats
	// the query, not every custom header). Defaults to DefaultSecretParam.
	Param string
}

// SharedSecret lets in whoever presents one of the secrets. It compares
// digests in constant time, so that neither content nor length leaks.
func SharedSecret(o SecretOptions) (Authenticator, error) {
	if len(o.Secrets) == 0 {
		return nil, errors.New("shared secret: none given")
	}
	if len(o.Secrets) > MaxSecrets {
		return nil, fmt.Errorf("shared secret: %d given, at most %d are accepted at once: remove the oldest",
			len(o.Secrets), MaxSecrets)
	}
	s := &sharedSecret{
		header: http.CanonicalHeaderKey(orDefault(o.Header, DefaultSecretHeader)),
		param:  orDefault(o.Param, DefaultSecretParam),
	}
	for i, secret := range o.Secrets {
		if len(secret) < MinSecretLength {
			return nil, fmt.Errorf("shared secret: number %d has %d bytes, at least %d are needed",
				i+1, len(secret), MinSecretLength)
		}
		s.digests = append(s.digests, sha256.Sum256([]byte(secret)))
	}
	return s, nil
}

type sharedSecret struct {
	header, param string
	digests       [][sha256.Size]byte
}

func (s *sharedSecret) Authenticate(r *http.Request) error {
	presented := false
	for _, candidate := range s.candidates(r) {
		if candidate == "" {
			continue
		}
		presented = true
		if s.matches(candidate) {
			return nil
		}
	}
	if presented {
		return unauthenticated("secret_wrong", "The shared secret is not one that this service accepts.")
	}
	return unauthenticated(reasonMissing, "This service asks for its shared secret in the "+s.header+
		" header or in the query parameter "+s.param+".")
}

// candidates are all places of a request that may carry the secret: a sender
// may well use Authorization for something else.
func (s *sharedSecret) candidates(r *http.Request) [3]string {
	found := [3]string{r.Header.Get(s.header), bearer(r)}
	if r.URL.RawQuery != "" {
		found[2] = r.URL.Query().Get(s.param)
	}
	return found
}

func (s *sharedSecret) matches(candidate string) bool {
	digest := sha256.Sum256([]byte(candidate))
	match := 0
	for i := range s.digests {
		match |= subtle.ConstantTimeCompare(digest[:], s.digests[i][:])
	}
	return match == 1
}
