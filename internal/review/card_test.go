package review_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestCardsReadAsExpected(t *testing.T) {
	b := newBench()
	s := signal("drift", "k1", t0)
	s.AckWithin = 30 * time.Minute
	b.raise(t, s)
	b.now = t0.Add(10 * time.Minute)
	open, _ := b.raise(t, signal("drift", "k2", b.now))
	b.now = t0.Add(20 * time.Minute)
	b.do(t, open.ID, review.Command{Verb: review.Ack, By: "ann", Why: "looking"})
	b.do(t, open.ID, review.Command{Verb: review.Remark, By: "bob", Why: "new feed since Monday?"})
	b.now = t0.Add(26 * time.Hour)
	done := b.do(t, open.ID, review.Command{Verb: review.Resolve, By: "ann", Why: "feed repaired"})
	escalated := open
	escalated.Advance(t0.Add(time.Hour))
	for name, got := range map[string]string{
		"open.txt":      review.Text(&open, t0.Add(15*time.Minute)),
		"open.md":       review.Markdown(&open, t0.Add(15*time.Minute)),
		"escalated.txt": review.Text(&escalated, t0.Add(time.Hour)),
		"resolved.md":   review.Markdown(&done, t0.Add(100*time.Hour)),
	} {
		golden(t, name, got)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s (%v): got\n%s\nwant\n%s\n(-update accepts it)", name, err, got, want)
	}
}

func TestForeignTextCantDressUpACard(t *testing.T) {
	b := newBench()
	s := signal("drift", "k1", t0)
	s.Title = "![x](http://evil) <img src=x> @everyone `code` **bold**\n# heading\x1b[31m"
	r, _ := b.raise(t, s)
	md := review.Markdown(&r, t0)
	for _, raw := range []string{"![x](", "<img", "@everyone", " `code`", "**bold**", "\n# heading", "\x1b"} {
		if strings.Contains(md, raw) {
			t.Errorf("the card contains %q:\n%s", raw, md)
		}
	}
	if text := review.Text(&r, t0); strings.ContainsAny(text, "\x1b") || strings.Contains(text, "\n# heading") {
		t.Errorf("the text card lets control characters through:\n%q", text)
	}
}

func TestCardsStayShort(t *testing.T) {
	b := newBench()
	var r review.Review
	for i := range 200 {
		s := signal("drift", strings.Repeat("k", 1+i%150)+string(rune('a'+i/150)), t0.Add(time.Duration(i)*time.Minute))
		s.Asset = "monitor/ws/" + strings.Repeat("m", 1+i%100)
		r, _ = b.raise(t, s)
	}
	if lines := strings.Count(review.Text(&r, t0), "\n"); lines > 60 {
		t.Errorf("%d lines for %d signals", lines, r.Count)
	}
}
