package effect

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// secretPrefix marks a base64 secret in the Standard Webhooks specification.
const secretPrefix = "whsec_"

// signer signs messages as the Standard Webhooks specification describes
// (https://github.com/standard-webhooks/standard-webhooks), with every key it
// has, so that a receiver can rotate from one to the next.
type signer struct{ keys [][]byte }

// newSigner reads secrets, the newest first. A secret that begins with
// "whsec_" is base64, any other is taken as it is.
func newSigner(secrets []string) (signer, error) {
	var s signer
	for _, secret := range secrets {
		key := []byte(secret)
		if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok {
			var err error
			if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
				return signer{}, errors.New(`secret: it begins with "whsec_" but what follows is not base64`)
			}
		}
		if len(key) == 0 {
			return signer{}, errors.New("secret: it is empty")
		}
		s.keys = append(s.keys, key)
	}
	return s, nil
}

// sign returns the value of webhook-signature: one "v1,<base64>" per key,
// separated by spaces; "" without keys.
func (s signer) sign(id string, at time.Time, body []byte) string {
	var out []string
	for _, key := range s.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(out, " ")
}
