package servicebus

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// Types of token that clients put.
const (
	tokenSAS = "servicebus.windows.net:sastoken"
	tokenJWT = "jwt"
)

// putToken checks a token and notes what it allows on this connection.
func (r *request) putToken() answer {
	if r.operation != "put-token" {
		return refusal(newError(condNotImplemented, "unknown operation '"+r.operation+"'"))
	}
	name := amqp.Text(r.props.Get("name"))
	token := amqp.Text(r.body)
	if name == "" || token == "" {
		return refusal(newError(condInvalidField, "name or token is missing"))
	}
	rights, until, refused := r.verify(amqp.Text(r.props.Get("type")), token, name)
	if refused != nil {
		return refusal(refused)
	}
	path := entityPath(name)
	if path != "" {
		if _, unknown := r.c.s.resolve(path); unknown != nil {
			return refusal(unknown)
		}
	}
	r.c.claim(path, rights, until)
	return answer{status: 202, description: "Accepted"}
}

// verify finds out what a token allows and until when. A shared access
// signature is known by its looks: Python's SDK puts it with the type "jwt".
func (r *request) verify(kind, token, audience string) (Rights, time.Time, *amqp.Error) {
	switch {
	case kind == tokenSAS, kind == tokenJWT && isSAS(token):
		return r.c.s.verifySAS(token, audience)
	case kind == tokenJWT:
		return r.verifyJWT(token)
	}
	return 0, time.Time{}, newError(condInvalidField, "unknown token type '"+kind+"'")
}

// verifyJWT asks Options.Token. The expiry is the token's own or, if it has
// none, the one that the request tells.
func (r *request) verifyJWT(token string) (Rights, time.Time, *amqp.Error) {
	s := r.c.s
	if s.o.Token == nil {
		return 0, time.Time{}, newError(condUnauthorized, "InvalidToken: this namespace takes no Entra tokens")
	}
	rights, err := s.o.Token(token)
	if err != nil {
		return 0, time.Time{}, newError(condUnauthorized, "InvalidToken: "+err.Error())
	}
	until := jwtExpiry(token)
	if until.IsZero() {
		until = expiration(r.props.Get("expiration"))
	}
	if !until.IsZero() && !s.now().Before(until) {
		return 0, time.Time{}, newError(condUnauthorized, "ExpiredToken: the token has expired")
	}
	return rights, until, nil
}

// jwtExpiry reads the claim exp of a token whose signature Options.Token has
// checked; zero if it is not to be found.
func jwtExpiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp int64 `json:"exp"`
	}
	if json.Unmarshal(raw, &claims) != nil || claims.Exp == 0 {
		return time.Time{}
	}
	return time.Unix(claims.Exp, 0)
}

// expiration reads the property of a put-token request: a time, or seconds
// since 1970 as a number or as text.
func expiration(v any) time.Time {
	if at, ok := v.(time.Time); ok {
		return at
	}
	seconds, ok := amqp.Int(v)
	if !ok {
		seconds, _ = strconv.ParseInt(amqp.Text(v), 10, 64)
	}
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
