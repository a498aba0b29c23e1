package effect

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/review"
)

func TestAtMostChars(t *testing.T) {
	for _, c := range []struct {
		text string
		max  int
		want string
	}{
		{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 3, "äöü"}, {"äöüß", 3, "äö…"},
		{"ab\U0001F600", 3, "ab…"}, {"a\U0001F600", 3, "a\U0001F600"}, {"\U0001F600\U0001F600", 3, "\U0001F600…"},
	} {
		if got := atMostChars(c.text, c.max); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.max, got, c.want)
		}
	}
}

func TestAtMostLines(t *testing.T) {
	for _, c := range []struct {
		text string
		max  int
		want string
	}{
		{"one\ntwo", 7, "one\ntwo"}, {"one\ntwo", 6, "one\n…"}, {"one\ntwo", 5, "one\n…"}, {"one\ntwo\nthree", 12, "one\ntwo\n…"},
		{"no line ends here", 9, "no line\n…"},
	} {
		if got := atMostLines(c.text, c.max); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.max, got, c.want)
		}
	}
}

func FuzzTrackerTextsFit(f *testing.F) {
	f.Add("one\ntwo \U0001F600 \x1b[31m \u202e\xff", 7)
	f.Add(strings.Repeat("é", 300), 255)
	f.Fuzz(func(t *testing.T, text string, max int) {
		if max < 10 || max > 40000 {
			return
		}
		line := plainLine(text)
		if !utf8.ValidString(line) || strings.ContainsAny(line, "\n\r\x1b\u202e\u2028") || plainLine(line) != line {
			t.Errorf("%q", line)
		}
		for _, short := range []string{atMostChars(line, max), atMostLines(line, max), atMostLines(strings.ReplaceAll(line, " ", "\n"), max)} {
			if n := len(utf16.Encode([]rune(short))); n > max || !utf8.ValidString(short) {
				t.Errorf("%d characters, at most %d: %q", n, max, short)
			}
		}
	})
}

// What a page says depends on the review, not on the moment or on what others
// were told.
func TestAPageLasts(t *testing.T) {
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	r := review.Review{Opened: at, LastSignal: at.Add(2 * time.Hour), Updated: at.Add(time.Hour)}
	if got := asOf(&r); got != at.Add(2*time.Hour) {
		t.Errorf("as of %s", got)
	}
	card := review.Card{Review: r, Tickets: []review.Ticket{
		{Target: "me", Ref: "1"}, {Target: "pager", Ref: "2", URL: "https://pager.contoso.example/2", Updated: at, Rev: 3, Shown: "x", Failed: "y"},
	}}
	lasts := (&tracked{target: "me"}).lasting(card)
	if want := []review.Ticket{{Target: "pager", Ref: "2", URL: "https://pager.contoso.example/2"}}; !slices.Equal(lasts.Tickets, want) || len(card.Tickets) != 2 {
		t.Errorf("%+v", lasts.Tickets)
	}
}

// A ticket goes where its review goes, unless people were there.
func TestGoesAlong(t *testing.T) {
	const open, taken, done = review.Open, review.Acknowledged, review.Resolved
	for _, c := range []struct {
		at, from, to review.State
		want         bool
	}{
		{open, open, taken, true}, {open, open, done, true}, {taken, taken, open, true}, {done, done, open, true}, {done, done, taken, true},
		{taken, open, taken, false}, {done, open, taken, false}, {"", open, taken, false}, {"", done, open, false}, {taken, done, open, false},
		{taken, open, done, true}, {"", open, done, true}, {done, open, done, false}, {open, done, open, false},
	} {
		if got := (&standing{state: c.at}).goesAlong(c.from, c.to); got != c.want {
			t.Errorf("at %q, from %q to %q: %t", c.at, c.from, c.to, got)
		}
	}
}

func TestTicketKey(t *testing.T) {
	for text, want := range map[string]string{
		"abcdefghijklmnopqrstuvwxyz-3": "abcdefghijklmnopqrstuvwxyz-3", "": "", "a b": "", "a'--": "", `a" OR`: "", strings.Repeat("a", 41): "",
	} {
		if got := ticketKey(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestHTMLText(t *testing.T) {
	for source, want := range map[string]string{
		"":                                       "",
		"plain":                                  "plain",
		"<div>one</div><div>two<br/>three</div>": "one\n\ntwo\nthree",
		"a &lt;b&gt; <b>c</b><!-- d -->":         "a <b> c",
		"<p>open <i>end":                         "open end",
	} {
		if got := htmlText(source); got != want {
			t.Errorf("%q: %q, want %q", source, got, want)
		}
	}
}
