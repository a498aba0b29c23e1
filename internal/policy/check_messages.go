package policy

import (
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"strings"
)

var (
	slackChannel = regexp.MustCompile(`^([CGD][A-Z0-9]{7,20}|#?[^\s<>@#A-Z]{1,80})$`)
	slackMention = regexp.MustCompile(`^([UWS][A-Z0-9]{2,20}|here)$`)
)

// maxMentions bounds whom one message calls.
const maxMentions = 20

func (c *checker) slack(path string, t *SlackTarget) {
	if !slackChannel.MatchString(t.Channel) {
		c.fail(path+".channel", "wants a channel's id such as C0123456789, or its name")
	}
	if len(t.Mentions) > maxMentions {
		c.fail(path+".mentions", "are %d: at most %d; a user group calls more people at once", len(t.Mentions), maxMentions)
	}
	for i, m := range t.Mentions {
		if !slackMention.MatchString(m) {
			c.fail(fmt.Sprintf("%s.mentions[%d]", path, i), "wants the id of a user (U...) or of a user group (S...), or here")
		}
	}
	c.optionalURL(path+".url", t.URL)
	c.token(path, &t.Token)
}

func (c *checker) teams(path string, t *TeamsTarget) {
	c.token(path, &t.Token)
}

// maxRecipients bounds to whom one mail goes.
const maxRecipients = 50

func (c *checker) email(path string, t *EmailTarget) {
	if !isHost(t.Host) {
		c.fail(path+".host", "wants the SMTP server's name or address, without a port")
	}
	if t.Port < 0 || t.Port > 65535 {
		c.fail(path+".port", "is %d: give 1 to 65535, or leave it out for 587", t.Port)
	}
	c.mailbox(path+".from", t.From)
	c.recipients(path+".to", t.To)
	switch t.TLS {
	case "", "starttls", "implicit":
	case "none":
		if t.User != "" && !isLoopback(t.Host) {
			c.fail(path+".tls", "would send the password of user in the clear: use starttls or implicit")
		}
	default:
		c.fail(path+".tls", "is %q: want starttls, implicit or none", clip(t.TLS, 40))
	}
	switch hasToken := t.TokenEnv != "" || t.TokenFile != ""; {
	case t.User != "" && !hasToken:
		c.fail(path, "has user and no password: name where it is with tokenEnv or tokenFile")
	case t.User == "" && hasToken:
		c.fail(path, "has a password and no user: name who logs in with user")
	}
	c.optionalToken(path, &t.Token)
}

// recipients are to whom mails go, each of them once.
func (c *checker) recipients(path string, to []string) {
	if len(to) == 0 || len(to) > maxRecipients {
		c.fail(path, "lists %d addresses: give 1 to %d, and a list's address for more", len(to), maxRecipients)
	}
	seen := map[string]bool{}
	for i, address := range to {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.mailbox(at, address)
		if folded := strings.ToLower(address); seen[folded] {
			c.fail(at, "is listed before")
		} else {
			seen[folded] = true
		}
	}
}

// mailbox checks an ASCII address (many servers take no other), "ops@contoso.example" or "Ops
// <ops@contoso.example>".
func (c *checker) mailbox(path, text string) {
	a, err := mail.ParseAddress(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || strings.ContainsFunc(a.Address, func(r rune) bool { return r <= ' ' || r > '~' }) || !isHost(a.Address[strings.LastIndexByte(a.Address, '@')+1:]) {
		c.fail(path, "is not an address such as oncall@contoso.example")
	}
}

// isHost reports whether s is a host's name or address, without a port.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && len(s) <= 253 && !strings.ContainsAny(s, " \t\r\n:/@<>[]\"")
}

// isLoopback reports whether a host is this one, without looking it up.
func isLoopback(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
