package cosmos

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxSkew is how far the date of a signature may be from now, as the page
// "Access control in the Azure Cosmos DB SQL API" has it.
const maxSkew = 15 * time.Minute

// authorize checks the Authorization header.
func (s *Server) authorize(c *call) error {
	header := c.Header.Get("Authorization")
	if header == "" {
		return unauthorized("Required Header authorization is missing. Ensure a valid Authorization token is passed.")
	}
	if !strings.HasPrefix(header, "type=") {
		decoded, err := url.QueryUnescape(header)
		if err != nil {
			return unauthorized("The authorization token is malformed.")
		}
		header = decoded
	}
	token := map[string]string{}
	for part := range strings.SplitSeq(header, "&") {
		name, value, _ := strings.Cut(part, "=")
		token[name] = value
	}
	switch token["type"] {
	case "master":
		return s.checkSignature(c, token["sig"])
	case "aad":
		return s.checkToken(c, token["sig"])
	}
	return unauthorized("The authorization token type " + token["type"] + " is not supported.")
}

func unauthorized(message string) error { return failed(http.StatusUnauthorized, "", message) }

func (s *Server) checkSignature(c *call, sig string) error {
	date := c.Header.Get("x-ms-date")
	if date == "" {
		date = c.Header.Get("Date")
	}
	at, err := http.ParseTime(date)
	if err != nil {
		return unauthorized("The request has no valid x-ms-date or date header.")
	}
	signed, _ := base64.StdEncoding.DecodeString(sig)
	plain, _ := url.PathUnescape(c.link)
	if !hmac.Equal(signed, s.sign(c, plain, date)) && !hmac.Equal(signed, s.sign(c, c.link, date)) {
		return unauthorized("The input authorization token can't serve the request. The wrong key is being used or the expected payload is not built as per the protocol.")
	}
	if age := s.options.Clock.Now().Sub(at); age > maxSkew || age < -maxSkew {
		return failed(http.StatusForbidden, "", "The authorization token is not valid at the current time. Please create another token and retry.")
	}
	return nil
}

// sign makes the signature of a request to a resource.
func (s *Server) sign(c *call, link, date string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(strings.ToLower(c.Method) + "\n" + c.resource + "\n" + link + "\n" + strings.ToLower(date) + "\n\n"))
	return h.Sum(nil)
}

func (s *Server) checkToken(c *call, jwt string) error {
	if s.options.Token == nil {
		return unauthorized("The account has no Entra authentication.")
	}
	readOnly, err := s.options.Token(jwt)
	if err != nil {
		return unauthorized("The Entra token was refused: " + err.Error())
	}
	if administers[c.op] {
		f := failed(http.StatusForbidden, "", "The given request ["+c.Method+" "+c.URL.Path+"] cannot be authorized by AAD token in data plane.")
		f.substatus = 5300
		return f
	}
	if readOnly && writes[c.op] {
		f := failed(http.StatusForbidden, "", "Request is blocked because principal does not have required RBAC permissions to perform action ["+string(c.op)+"] on resource ["+c.link+"].")
		f.substatus = 5301
		return f
	}
	return nil
}
