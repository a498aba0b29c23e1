package review

import (
	"net/url"
	"strings"
	"unicode"
)

// oneLine folds text into one line without control characters, so that what
// came from outside can't move a terminal's cursor or turn the direction of
// what follows.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

// zeroWidth breaks up what would be active text without being seen.
const zeroWidth = "\u200b"

// inert makes the characters that mean something in Markdown or HTML literal,
// and keeps names from notifying and addresses from becoming links.
var inert = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;",
	"@", "@"+zeroWidth, "://", ":"+zeroWidth+"//", "www.", "www"+zeroWidth+".",
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`,
	"(", `\(`, ")", `\)`, "#", `\#`, "+", `\+`, "!", `\!`, "|", `\|`, "~", `\~`,
)

// escape makes text literal in Markdown.
func escape(s string) string { return inert.Replace(oneLine(s)) }

// maxLink is the longest address that becomes a link.
const maxLink = 500

// address checks an address that people are to follow: http or https, a host,
// no name or password in it, nothing that means something around it.
func address(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || len(s) > maxLink {
		return "", false
	}
	out := strings.ReplaceAll(u.String(), "@", "%40") // no mention of anybody
	active := strings.ContainsFunc(out, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"`\\^{|}[]", r) })
	return out, !active && len(out) <= maxLink
}

// autolink is an address as a link in Markdown; what is none stays text.
func autolink(s string) string {
	if to, ok := address(s); ok {
		return "<" + to + ">"
	}
	return escape(clip(s, maxItem))
}

// bareLink is an address for a terminal.
func bareLink(s string) string {
	if to, ok := address(s); ok {
		return to
	}
	return oneLine(clip(s, maxItem))
}
