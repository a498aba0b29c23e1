package policy

import (
	"fmt"
	"net"
	"net/mail"
	"slices"
	"strings"
)

// maxRecipients bounds whom one mail goes to.
const maxRecipients = 50

func (c *checker) slack(path string, t *SlackTarget) {
	c.token(path, &t.Token)
}

func (c *checker) teams(path string, t *TeamsTarget) {
	c.token(path, &t.Token)
}

func (c *checker) email(path string, t *EmailTarget) {
	if t.Host == "" || strings.ContainsAny(t.Host, "/:@ ") && net.ParseIP(t.Host) == nil {
		c.fail(path+".host", "wants the SMTP server's name or address, without a port")
	}
	if t.Port < 0 || t.Port > 65535 {
		c.fail(path+".port", "wants a port of 1 to 65535")
	}
	c.mailAddress(path+".from", t.From)
	if len(t.To) == 0 || len(t.To) > maxRecipients {
		c.fail(path+".to", "wants 1 to %d addresses", maxRecipients)
	}
	for i, to := range t.To {
		c.mailAddress(fmt.Sprintf("%s.to[%d]", path, i), to)
	}
	c.mailLogin(path, t)
	c.optionalToken(path, &t.Token)
}

// mailLogin checks that a password is not sent in clear over a network.
func (c *checker) mailLogin(path string, t *EmailTarget) {
	password := t.TokenEnv != "" || t.TokenFile != ""
	switch {
	case !slices.Contains([]string{"", "starttls", "implicit", "none"}, t.TLS):
		c.fail(path+".tls", "is %q: want starttls, implicit or none", t.TLS)
	case t.TLS == "none" && password && !loopbackHost(t.Host):
		c.fail(path+".tls", "is none, which would send the password in clear: want starttls or implicit")
	}
	if password != (t.User != "") {
		c.fail(path, "wants user and a password (tokenEnv or tokenFile) together, or neither")
	}
}

func loopbackHost(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// mailAddress accepts an address, with or without a name before it. Mail
// servers without SMTPUTF8 take ASCII only.
func (c *checker) mailAddress(path, address string) {
	a, err := mail.ParseAddress(address)
	if err != nil || strings.ContainsFunc(a.Address, func(r rune) bool { return r <= ' ' || r > '~' }) {
		c.fail(path, "wants an address such as oncall@contoso.example")
	}
}
