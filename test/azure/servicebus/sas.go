package servicebus

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// sasPrefix begins every shared access signature.
const sasPrefix = "SharedAccessSignature "

func isSAS(token string) bool { return strings.HasPrefix(token, sasPrefix) }

// verifySAS checks a shared access signature for an audience, as Microsoft's
// "Service Bus access control with Shared Access Signatures" describes it.
func (s *Server) verifySAS(token, audience string) (Rights, time.Time, *amqp.Error) {
	invalid := func(why string) (Rights, time.Time, *amqp.Error) {
		return 0, time.Time{}, newError(condUnauthorized, "InvalidSignature: "+why)
	}
	fields, ok := sasFields(token)
	if !ok {
		return invalid("the token is malformed")
	}
	key, known := s.o.Keys[fields["skn"]]
	if !known || !signed(fields, key.Key) {
		return invalid("The token has an invalid signature.")
	}
	resource, err := url.QueryUnescape(fields["sr"])
	if err != nil || !within(resource, audience) {
		return invalid("the token is for another resource")
	}
	seconds, err := strconv.ParseInt(fields["se"], 10, 64)
	if err != nil {
		return invalid("the expiry is malformed")
	}
	until := time.Unix(seconds, 0)
	if !s.now().Before(until) {
		return 0, time.Time{}, newError(condUnauthorized, "ExpiredToken: The token is expired.")
	}
	return key.Rights, until, nil
}

// sasFields takes a token apart; values stay as they are encoded, but for the
// policy's name.
func sasFields(token string) (map[string]string, bool) {
	rest, ok := strings.CutPrefix(token, sasPrefix)
	if !ok {
		return nil, false
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, "&") {
		name, value, _ := strings.Cut(part, "=")
		fields[name] = value
	}
	name, err := url.QueryUnescape(fields["skn"])
	fields["skn"] = name
	return fields, err == nil
}

// signed checks the signature, which covers resource and expiry as they stand
// in the token.
func signed(fields map[string]string, key string) bool {
	given, err := url.QueryUnescape(fields["sig"])
	if err != nil {
		return false
	}
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(fields["sr"] + "\n" + fields["se"]))
	want := base64.StdEncoding.EncodeToString(h.Sum(nil))
	return hmac.Equal([]byte(given), []byte(want))
}

// within reports whether a token's resource covers an audience: the same host,
// and the audience's path at or below. Either may come without a scheme.
func within(resource, audience string) bool {
	if !strings.Contains(resource, "://") {
		resource = "sb://" + resource
	}
	if !strings.Contains(audience, "://") {
		audience = "sb://" + hostOf(resource) + "/" + audience
	}
	return hostOf(resource) == hostOf(audience) && covers(fold(entityPath(resource)), fold(entityPath(audience)))
}
