package effect

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzExcerptIsShortCleanAndSilent(f *testing.F) {
	f.Add([]byte("all well"), "secret")
	f.Add([]byte("echo: s3cr&t=1 s3cr%26t%3D1 \x1b[31m\x00\xff"), "s3cr&t=1")
	f.Add([]byte(strings.Repeat("é", 300)), "éééé")
	f.Fuzz(func(t *testing.T, body []byte, secret string) {
		got := newRedactor(secret).excerpt(body)
		if len(got) > excerptLength+len("…") || !utf8.ValidString(got) {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
		for _, r := range got {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				t.Fatalf("control character %q in %q", r, got)
			}
		}
		if strings.Contains(redacted, secret) || strings.Contains("…", secret) || !utf8.ValidString(secret) || len(strings.Fields(secret)) > 1 {
			return // its shape may come about without it
		}
		if len(secret) > 8 && strings.Contains(got, secret) {
			t.Fatalf("%q shows in %q", secret, got)
		}
	})
}

func TestLongerSecretGoesFirst(t *testing.T) {
	r := newRedactor("token", "token-and-more", "ab")
	if got := r.text("token-and-more, token, ab"); got != "[redacted], [redacted], ab" {
		t.Error(got)
	}
}

func TestNothingOfAURLButSchemeAndHostIsShown(t *testing.T) {
	u, err := url.Parse("https://user:pass@ci.example:8443/hook/T0/B1?token=abc")
	if err != nil {
		t.Fatal(err)
	}
	if got := place(u); got != "https://ci.example:8443" {
		t.Error(got)
	}
}
