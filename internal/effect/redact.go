package effect

import (
	"net/url"
	"sort"
	"strings"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// excerptLength bounds what errors repeat of a target's answer, in bytes.
const excerptLength = 200

// minSecret is the shortest text worth hiding: hiding every "a" of an answer
// would hide nothing and garble all.
const minSecret = 4

// redactor removes a target's secrets from texts. Its zero value removes
// nothing.
type redactor struct{ r *strings.Replacer }

// newRedactor makes a redactor of secrets, each also in its URL-escaped forms.
func newRedactor(secrets ...string) redactor {
	seen := map[string]bool{}
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			if len(form) >= minSecret {
				seen[form] = true
			}
		}
	}
	forms := make([]string, 0, len(seen))
	for s := range seen {
		forms = append(forms, s)
	}
	// Longest first: a secret that contains another must go as a whole.
	sort.Slice(forms, func(i, j int) bool {
		if len(forms[i]) != len(forms[j]) {
			return len(forms[i]) > len(forms[j])
		}
		return forms[i] < forms[j]
	})
	var pairs []string
	for _, s := range forms {
		pairs = append(pairs, s, redacted)
	}
	return redactor{strings.NewReplacer(pairs...)}
}

// text removes the secrets.
func (r redactor) text(s string) string {
	if r.r == nil {
		return s
	}
	return r.r.Replace(s)
}

// excerpt makes an answer's body fit for an error: no secrets, one line, no
// control characters, short.
func (r redactor) excerpt(body []byte) string {
	s := r.text(strings.ToValidUTF8(string(body), "?"))
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, s)
	return clip(strings.Join(strings.Fields(s), " "), excerptLength)
}

// urlSecrets are the parts of a URL that may be credentials: user info, query
// values, and the path, which some services make a token of.
func urlSecrets(u *url.URL) []string {
	var out []string
	if u.User != nil {
		password, _ := u.User.Password()
		out = append(out, u.User.Username(), password, u.User.String())
	}
	for _, values := range u.Query() {
		out = append(out, values...)
	}
	if u.RawQuery != "" {
		out = append(out, u.RawQuery)
	}
	if u.Path != "" && u.Path != "/" {
		out = append(out, u.Path, u.EscapedPath())
	}
	return out
}

// place is what may be shown of a URL: scheme and host.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host }
