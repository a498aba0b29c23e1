package review_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/review"
)

var update = flag.Bool("update", false, "write the golden files anew")

// bare is the card of a review of which nothing else is known.
func bare(r review.Review) *review.Card { return &review.Card{Review: r, Verbs: r.Allowed()} }

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
	rich := richCard()
	for name, got := range map[string]string{
		"open.txt":      review.Text(bare(open), t0.Add(15*time.Minute)),
		"open.md":       review.Markdown(bare(open), t0.Add(15*time.Minute)),
		"escalated.txt": review.Text(bare(escalated), t0.Add(time.Hour)),
		"resolved.md":   review.Markdown(bare(done), t0.Add(100*time.Hour)),
		"rich.txt":      review.Text(rich, t0.Add(50*time.Minute)),
		"rich.md":       review.Markdown(rich, t0.Add(50*time.Minute)),
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

func number(v float64) *float64 { return &v }

// richCard has something of everything that a card can tell.
func richCard() *review.Card {
	r := review.Review{
		ID: "dur3immbvxxa6xp732fnsbqrne-3", Cause: "monitor:monitor/contoso-ml/churn_monitor", Previous: "dur3immbvxxa6xp732fnsbqrne-2",
		Title: "churn: data_drift of age is 0.35, limit 0.20 (PopulationStabilityIndex)", Reason: "Policy churn-drift acts on monitor.breached: 3 of the last 5 windows breached",
		Severity: review.Error, State: review.Open, Opened: t0, OpenSince: t0, Updated: t0.Add(40 * time.Minute),
		AckWithin: review.Interval(30 * time.Minute), AckBy: t0.Add(55 * time.Minute), Escalated: t0.Add(30 * time.Minute), Level: 1, Round: 0, Repeat: 1,
		Targets: []string{"oncall"}, Chain: []review.Rung{{Target: "second-line", Within: review.Interval(25 * time.Minute)}, {Target: "head-of-ml", Within: review.Interval(time.Hour)}},
		ResolveAt: t0.Add(2 * time.Hour), Reopened: 2, Count: 7, LastSignal: t0.Add(40 * time.Minute),
		Parts: []review.Part{
			{Cause: "a", Model: "model/contoso-ml/churn", LastSignal: t0}, {Cause: "b", Model: "model/contoso-ml/upsell", LastSignal: t0},
			{Cause: "c", Model: "model/contoso-ml/tariff", LastSignal: t0, Passed: t0.Add(time.Minute)},
		},
		Signals: []review.Note{{At: t0.Add(40 * time.Minute), Key: "k7", Text: "PSI of age is 0.35"}, {At: t0, Key: "k6", Text: "PSI of age is 0.31"}},
		Assets:  []string{"monitor/contoso-ml/churn_monitor"}, Model: "model/contoso-ml/churn/12", Workspace: "contoso-ml", Policies: []string{"churn-drift"},
		Pulse: []review.Beat{{Hour: t0.Add(-5 * time.Hour), N: 1}, {Hour: t0.Add(-3 * time.Hour), N: 4}, {Hour: t0, N: 2}},
		History: []review.Transition{
			{At: t0, By: review.System, To: review.Open, Why: "the cause is back after review dur3immbvxxa6xp732fnsbqrne-2"},
			{At: t0.Add(30 * time.Minute), By: review.System, From: review.Open, To: review.Open, Why: "escalated to second-line: nobody acknowledged it in time"},
		},
		Comments: []review.Comment{{At: t0.Add(35 * time.Minute), By: "bob", Text: "new feed since Monday?"}},
	}
	return &review.Card{
		Review: r, URL: "https://modelwarden.contoso.example/reviews/" + r.ID, LastHealthy: t0.Add(-72 * time.Hour),
		Measured: []review.Series{{
			Monitor: "monitor/contoso-ml/churn_monitor", Signal: "data_drift", Feature: "age", Metric: "PopulationStabilityIndex", Threshold: number(0.2),
			Points: []review.Point{
				{At: t0.Add(-96 * time.Hour)}, {At: t0.Add(-72 * time.Hour)}, {At: t0.Add(-48 * time.Hour), Value: number(0.22), Breached: true},
				{At: t0.Add(-24 * time.Hour), Value: number(0.31), Breached: true}, {At: t0, Value: number(0.35), Breached: true},
			},
		}, {
			Signal: "performance", Metric: "accuracy", Threshold: number(0.8), LowerIsBad: true,
			Points: []review.Point{{At: t0, Value: number(0.71), Breached: true}},
		}},
		Why: []review.Ground{{
			Policy: "churn-drift", Event: "k@monitor/contoso-ml/churn_monitor", At: t0, Verdict: "act", Reason: "3 of the last 5 windows breached; because breach.value > 0.25",
			Window: "mon_run_7", Values: []string{"breach.metric = PopulationStabilityIndex", "breach.value = 0.35"},
		}},
		Changed: []review.Shift{
			{At: t0.Add(-50 * time.Hour), Kind: review.ShiftData, Asset: "data/contoso-ml/churn-data/15", What: "read by the job of version 12 (was version 14)"},
			{At: t0.Add(-49 * time.Hour), Kind: review.ShiftModel, Asset: "model/contoso-ml/churn/12", What: "version 12 in service (was version 11)"},
			{At: t0.Add(20 * time.Minute), Kind: review.ShiftTraffic, Asset: "endpoint/contoso-ml/churn-ep", What: "traffic blue 100 % (was blue 90 %, green 10 %)"},
		},
		MoreChanged: 2,
		Done: []review.Deed{{
			At: t0.Add(time.Minute), ID: "k@m", Type: "retrain", Target: "churn-pipeline", Policy: "churn-drift", State: "running",
			Text: "submitted gentle_fox_91c", URL: "https://ml.azure.com/runs/gentle_fox_91c",
		}},
		Held:    []review.Deed{{At: t0.Add(40 * time.Minute), Type: "retrain", Target: "churn-pipeline", Policy: "churn-drift", State: "in_flight", Text: "a retrain of the model is under way"}},
		Similar: []review.Past{{ID: r.Previous, Title: "churn: data_drift of age is 0.28", Severity: review.Warning, Opened: t0.Add(-200 * time.Hour), ResolvedAt: t0.Add(-190 * time.Hour), ResolvedBy: "ann", Resolution: "feed repaired", SameCause: true}},
		Owner:   "growth-ml", Runbook: "https://wiki.contoso.example/churn_drift",
		Tickets: []review.Ticket{{Target: "pager", Ref: "Q1", URL: "https://contoso.pagerduty.example/incidents/Q1"}, {Target: "desk", Failed: "the tool answered 503"}},
		Verbs:   append(r.Allowed(), review.RetrainNow, review.RollBackNow), RetrainTargets: []string{"churn-pipeline"}, RollbackTargets: []string{"churn-ep"},
		Gaps: []string{"the job of version 11 is not known"},
	}
}

func TestASilenceIsSaidFirst(t *testing.T) {
	c := richCard()
	c.Review.Silence = &review.Silenced{ID: "s1", By: "ann", Why: "moving house", Until: t0.Add(5 * time.Hour)}
	text := review.Text(c, t0)
	if !strings.Contains(strings.Join(strings.Split(text, "\n")[:4], "\n"), "SILENCED by ann until 2026-03-02 15:00:00Z: moving house") {
		t.Error(text)
	}
	if strings.Contains(text, "next, if nobody") {
		t.Error("a silenced review announces a call")
	}
}

func TestNothingChangedIsSaid(t *testing.T) {
	c := richCard()
	c.Changed, c.MoreChanged = nil, 0
	if text := review.Text(c, t0); !strings.Contains(text, "nothing that the lineage knows of") {
		t.Error(text)
	}
}

func TestAChainThatEndsBeginsAnew(t *testing.T) {
	r := richCard().Review
	r.Level = 2
	last, next := r.Calls()
	if len(last) != 1 || last[0] != "head-of-ml" || len(next) != 1 || next[0] != (review.Call{Target: "oncall", At: r.AckBy}) {
		t.Errorf("told %v, next %v", last, next)
	}
	r.Round = 1
	if _, next = r.Calls(); len(next) != 0 {
		t.Errorf("after the last round %v is called", next)
	}
}

// everywhere puts one text into everything of a card that comes from outside.
func everywhere(s string) *review.Card {
	c := richCard()
	r := &c.Review
	r.ID, r.Title, r.Reason, r.Model, r.Previous, r.Joined, r.AckedBy = s, s, s, s, s, s, s
	r.Assets, r.Policies, r.Targets = []string{s}, []string{s}, []string{s}
	r.Chain[0].Target, r.Chain[1].Target = s, s
	r.Parts[0].Model, r.Signals[0].Text = s, s
	r.History[0].By, r.History[0].Why, r.Comments[0].By, r.Comments[0].Text = s, s, s, s
	r.Silence = &review.Silenced{By: s, Why: s}
	c.URL, c.Owner, c.Runbook, c.Gaps = s, s, s, []string{s}
	m := &c.Measured[0]
	m.Monitor, m.Signal, m.Feature, m.Metric = s, s, s, s
	c.Why[0] = review.Ground{Policy: s, Verdict: s, Reason: s, Window: s, Values: []string{s, s}}
	c.Changed[0].Asset, c.Changed[0].What = s, s
	c.Done[0] = review.Deed{Type: s, Target: s, State: s, Text: s, URL: s}
	c.Held[0] = review.Deed{Type: s, Target: s, State: s, Text: s, URL: s}
	c.Similar[0].ID, c.Similar[0].Title, c.Similar[0].ResolvedBy, c.Similar[0].Resolution = s, s, s, s
	c.Tickets[0] = review.Ticket{Target: s, Ref: s, URL: s, Failed: s}
	c.RetrainTargets, c.RollbackTargets = []string{s}, []string{s}
	return c
}

var (
	// What a card may hold of Markdown besides headings and items: addresses
	// that were checked, commands, and characters made literal.
	link    = regexp.MustCompile(`<https?://[^\s<>@]+>`)
	command = regexp.MustCompile("`modelwarden review [a-z]+ [^`\n]*`")
	literal = regexp.MustCompile(`\\[^\s]|&(amp|lt|gt);`)
)

// checkInert fails for Markdown that somebody else could have brought.
func checkInert(t *testing.T, md string) {
	t.Helper()
	rest := command.ReplaceAllString(link.ReplaceAllString(md, "·"), "·")
	rest = literal.ReplaceAllString(rest, "·")
	for _, active := range []string{"![", "](", "<", "`", "@", "://", "www.", "~~", "__", "{"} {
		for _, line := range strings.Split(rest, "\n") {
			if i := strings.Index(line, active); i >= 0 && !strings.HasPrefix(line[i:], "@\u200b") {
				t.Errorf("%q is active in %q", active, line)
			}
		}
	}
	for _, line := range strings.Split(rest, "\n") {
		if bold := strings.Count(line, "*"); bold > 0 && bold != 4 || strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "### ERROR") {
			t.Errorf("a line of the card's own making? %q", line)
		}
	}
}

func checkPlain(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u202e' {
			t.Fatalf("the text holds %q", r)
		}
	}
}

const hostile = "![x](http://evil) <img src=x> @everyone `code` **bold** www.evil.example\n# heading\x1b[31m\u202e"

func TestForeignTextCantDressUpACard(t *testing.T) {
	for _, s := range []string{hostile, "https://evil.example/@everyone", "https://a@evil.example/", "javascript:alert(1)", "https://x/)[y](https://z", "`; rm -rf /`"} {
		checkInert(t, review.Markdown(everywhere(s), t0))
		checkPlain(t, review.Text(everywhere(s), t0))
	}
}

func FuzzForeignTextStaysText(f *testing.F) {
	for _, s := range []string{hostile, "https://contoso.example/runbook_1", "<https://x>", "\\`", "&lt;", "@\u200b", strings.Repeat("&", 3000), "\xff\xfe", "- [ ] x", "| a |"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := everywhere(s)
		md, text := review.Markdown(c, t0), review.Text(c, t0)
		checkInert(t, md)
		checkPlain(t, text)
		for _, out := range []string{md, text} {
			if len(out) > 12<<10 || !utf8.ValidString(out) {
				t.Fatalf("%d bytes, valid %v", len(out), utf8.ValidString(out))
			}
		}
	})
}

func TestCardsStayShort(t *testing.T) {
	b := newBench()
	var r review.Review
	for i := range 200 {
		s := signal("drift", strings.Repeat("k", 1+i%150)+string(rune('a'+i/150)), t0.Add(time.Duration(i)*time.Minute))
		s.Asset = "monitor/ws/" + strings.Repeat("m", 1+i%100)
		r, _ = b.raise(t, s)
	}
	if lines := strings.Count(review.Text(bare(r), t0), "\n"); lines > 60 {
		t.Errorf("%d lines for %d signals", lines, r.Count)
	}
}

func TestTheLongestCardStillSaysWhatCanBeDone(t *testing.T) {
	c := everywhere(strings.Repeat("&<>*_", 1000))
	c.Review.ID = "dur3immbvxxa6xp732fnsbqrne-3"
	for range review.MaxCard {
		c.Why, c.Changed, c.Done, c.Gaps = append(c.Why, c.Why[0]), append(c.Changed, c.Changed[0]), append(c.Done, c.Done[0]), append(c.Gaps, c.Gaps[0])
	}
	for _, out := range []string{review.Markdown(c, t0), review.Text(c, t0)} {
		if len(out) > 12<<10 || !strings.Contains(out, "modelwarden review ack dur3immbvxxa6xp732fnsbqrne-3") {
			t.Errorf("%d bytes, ending in %s", len(out), out[max(0, len(out)-300):])
		}
	}
}

func TestAPulseOutOfOrderIsNotDrawn(t *testing.T) {
	r := richCard().Review
	if line := r.Hourly(); line != "▂·█··▄" {
		t.Errorf("got %q", line)
	}
	r.Pulse[0].Hour = t0.Add(time.Hour)
	if line := r.Hourly(); line != "" {
		t.Errorf("out of order: %q", line)
	}
}

func TestOddNumbersAreDrawnAsGaps(t *testing.T) {
	c := richCard()
	c.Measured[0].Points = nil
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 0, 1} {
		c.Measured[0].Points = append(c.Measured[0].Points, review.Point{At: t0, Value: number(v), Breached: true})
	}
	if text := review.Text(c, t0); !strings.Contains(text, "age in data_drift ···") {
		t.Error(text)
	}
	c.Measured[0].Points = nil
	if text := review.Text(c, t0); !strings.Contains(text, "value unknown against 0.2, 0 of the last 0 windows") {
		t.Error(fmt.Sprint(text))
	}
}
