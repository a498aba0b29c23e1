//go:build peers

package peers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/modelwarden/modelwarden/test/boot"
)

// size is a window to look through.
type size struct {
	name          string
	width, height int64
	options       []chromedp.EmulateViewportOption
}

var sizes = []size{
	{"desktop", 1280, 900, nil},
	{"phone", 390, 844, []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2)}},
}

const (
	churn      = "model/contoso-ml/churn/1"
	graphReady = `document.querySelector("[data-graph]")?._cyreg?.cy.nodes().length > 0`
)

// places are the pages to open, by the name of their screenshot.
func places(t *testing.T, s *server) map[string]string {
	t.Helper()
	return map[string]string{
		"models":    "/",
		"model":     "/assets/" + churn,
		"hostile":   "/assets/" + hostileID(t, s),
		"endpoint":  "/assets/endpoint/contoso-ml/churn-ep",
		"monitor":   "/assets/monitor/contoso-ml/churn_monitor",
		"events":    "/events",
		"event":     "/events/" + first(t, s, "/api/v1/events?kind=monitor.breached").Key,
		"decisions": "/decisions",
		"actions":   "/actions",
		"reviews":   "/reviews",
		"review":    "/reviews/" + first(t, s, "/api/v1/reviews").ID,
		"silences":  "/silences",
		"trouble":   "/trouble",
	}
}

type listed struct{ ID, Key, State, AckedBy string }

// first is the first item of an API list.
func first(t *testing.T, s *server, path string) listed {
	t.Helper()
	var l struct{ Items []listed }
	if err := s.Get(path, &l); err != nil || len(l.Items) == 0 {
		t.Fatalf("%s: %d items, %v", path, len(l.Items), err)
	}
	return l.Items[0]
}

func hostileID(t *testing.T, s *server) string {
	t.Helper()
	return first(t, s, "/api/v1/models?q=img").ID
}

func TestEveryPageIsCleanOnDesktopAndPhone(t *testing.T) {
	s := bootStory(t, "")
	browser := bootChromium(t)
	for name, path := range places(t, s) {
		for _, z := range sizes {
			t.Run(name+"/"+z.name, func(t *testing.T) {
				b := open(t, browser, s.URL, chromedp.EmulateViewport(z.width, z.height, z.options...))
				b.run(t, chromedp.Navigate(s.URL+path))
				if strings.HasPrefix(path, "/assets/") {
					b.run(t, chromedp.Poll(graphReady, nil))
				}
				b.picture(t, name+"-"+z.name)
				b.checkWidth(t, z.width)
				b.run(t, chromedp.Evaluate(`document.querySelectorAll("details").forEach((d) => { d.open = true })`, nil))
				b.checkWidth(t, z.width)
				b.checkInert(t)
				b.checkClean(t)
			})
		}
	}
}

// picture keeps a screenshot of the whole page, in the folder that
// MODELWARDEN_SCREENSHOTS names, for a person to look at.
func (b *tab) picture(t *testing.T, name string) {
	t.Helper()
	var png []byte
	b.run(t, chromedp.FullScreenshot(&png, 100))
	folder := os.Getenv("MODELWARDEN_SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkClean fails the test for everything that the browser complained about.
func (b *tab) checkClean(t *testing.T) {
	t.Helper()
	for _, p := range b.taken() {
		t.Error(p)
	}
}

// checkInert fails the test when a name of the story became part of the page.
func (b *tab) checkInert(t *testing.T) {
	t.Helper()
	var planted int
	b.run(t, chromedp.Evaluate(`document.querySelectorAll("img[onerror], img[src=x], script:not([src])").length`, &planted))
	if planted > 0 {
		t.Errorf("%d elements came from a name", planted)
	}
}

func TestNoLinkLeadsNowhere(t *testing.T) {
	s := bootStory(t, "")
	b := open(t, bootChromium(t), s.URL)
	seen := map[string]bool{}
	for name, path := range places(t, s) {
		var links []string
		b.run(t, chromedp.Navigate(s.URL+path),
			chromedp.Evaluate(`[...document.querySelectorAll("a[href]")].map((a) => a.href.split("#")[0])`, &links))
		for _, link := range links {
			if seen[link] {
				continue
			}
			seen[link] = true
			if !strings.HasPrefix(link, s.URL+"/") {
				t.Errorf("page %s links to %s", name, link)
			} else if _, err := boot.Download(link, ""); err != nil {
				t.Errorf("page %s: %.300v", name, err)
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d links were found", len(seen))
	}
}

func TestAHostileNameIsShownAsText(t *testing.T) {
	s := bootStory(t, "")
	b := open(t, bootChromium(t), s.URL)
	id := hostileID(t, s)
	for _, path := range []string{"/", "/events", "/assets/" + id} {
		var text string
		b.run(t, chromedp.Navigate(s.URL+path), chromedp.Text("main", &text))
		if !strings.Contains(text, hostile) {
			t.Errorf("%s does not show the name", path)
		}
		b.checkInert(t)
	}
	var label string
	b.run(t, chromedp.Poll(graphReady, nil),
		chromedp.Evaluate(`document.querySelector("[data-graph]")._cyreg.cy.nodes(".root").data("id")`, &label))
	if label != id {
		t.Errorf("the graph's root is %q, want %q", label, id)
	}
	b.checkClean(t)
}

func TestTheGraphShowsTheLineageAndLeadsOn(t *testing.T) {
	s := bootStory(t, "")
	b := open(t, bootChromium(t), s.URL, chromedp.EmulateViewport(1280, 900))
	var api struct{ Nodes []struct{ ID string } }
	if err := s.Get("/api/v1/lineage/"+churn, &api); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, n := range api.Nodes {
		want = append(want, n.ID)
	}
	var drawn int
	var at struct{ X, Y float64 }
	const data = `document.querySelector("[data-graph]")._cyreg.cy.nodes("[kind = 'data']")`
	b.run(t, chromedp.Navigate(s.URL+"/assets/"+churn), chromedp.Poll(graphReady, nil),
		chromedp.ScrollIntoView("[data-graph]"),
		chromedp.Evaluate(`document.querySelector("[data-graph]")._cyreg.cy.nodes().map((n) => n.id())`, &got),
		chromedp.Poll(inkOfCanvases, &drawn),
		chromedp.Evaluate(`(() => { const r = document.querySelector("[data-graph]").getBoundingClientRect(), p = `+data+`.renderedPosition(); return { X: r.x + p.x, Y: r.y + p.y }; })()`, &at),
	)
	slices.Sort(want)
	slices.Sort(got)
	if len(got) < 4 || !slices.Equal(got, want) {
		t.Errorf("the graph has %q, the API %q", got, want)
	}
	if drawn < 1000 {
		t.Errorf("%d pixels of the graph are painted", drawn)
	}
	b.run(t, chromedp.MouseClickXY(at.X, at.Y), chromedp.WaitVisible(`.crumb .k-data`))
	b.checkClean(t)
}

// inkOfCanvases counts painted pixels of the graph, once there are any.
const inkOfCanvases = `[...document.querySelectorAll("[data-graph] canvas")].reduce((sum, c) => {
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  for (let i = 3; i < d.length; i += 4) if (d[i]) sum++;
  return sum;
}, 0)`

func TestAReviewIsAcknowledgedThroughItsForm(t *testing.T) {
	for _, z := range sizes {
		t.Run(z.name, func(t *testing.T) {
			s := bootStory(t, "")
			b := open(t, bootChromium(t), s.URL, chromedp.EmulateViewport(z.width, z.height, z.options...))
			id := first(t, s, "/api/v1/reviews").ID
			const form = `form[action$="/ack"] `
			b.run(t, chromedp.Navigate(s.URL+"/reviews"), chromedp.Click(`ul.reviews li > a`, chromedp.NodeVisible),
				chromedp.SendKeys(form+`input[name=by]`, "Ada", chromedp.NodeVisible),
				chromedp.Click(form+`button`, chromedp.NodeVisible),
				chromedp.WaitNotPresent(form), chromedp.WaitVisible(`.st-acknowledged`))
			b.picture(t, "acknowledged-"+z.name)
			var r listed
			if err := s.Get("/api/v1/reviews/"+id, &r); err != nil || r.State != "acknowledged" || r.AckedBy != "Ada" {
				t.Errorf("the review is %+v, %v", r, err)
			}
			b.checkClean(t)
		})
	}
}

func TestABrowserSignsInWithTheToken(t *testing.T) {
	s := bootStory(t, "a-token-of-24-characters")
	b := open(t, bootChromium(t), s.URL)
	b.run(t, signIn(b.ctx, "ada", s.Token), chromedp.Navigate(s.URL+"/assets/"+churn), chromedp.Poll(graphReady, nil))
	var name string
	b.run(t, chromedp.Navigate(s.URL+"/reviews/"+first(t, s, "/api/v1/reviews").ID),
		chromedp.Value(`form[action$="/ack"] input[name=by]`, &name))
	if name != "ada" {
		t.Errorf("the form is signed %q, want the name the browser signed in with", name)
	}
	b.checkClean(t)
}

// TestTheWatcherSeesFaults proves the tests above: a page with each fault that
// they look for is caught for each.
func TestTheWatcherSeesFaults(t *testing.T) {
	const faulty = `<!doctype html><title>faulty</title><main>` + hostile + `</main><div style="width:500px">wide</div>
<script src="/run.js"></script><script>var inline = 1</script>`
	const script = `console.error("bad news"); fetch("/missing"); fetch("http://127.0.0.1:1/").catch(() => {}); setTimeout(() => { throw new Error("thrown") }); setTimeout(() => alert("boo"), 50);`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self' http://127.0.0.1:1; style-src 'unsafe-inline'")
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, faulty)
		case "/run.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = fmt.Fprint(w, script)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	b := open(t, bootChromium(t), srv.URL, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	b.run(t, chromedp.Navigate(srv.URL))
	var all []string
	boot.Eventually(t, pageTime, "every fault is seen", func() error {
		all = append(all, b.taken()...)
		seen := strings.Join(all, "\n")
		for _, want := range []string{"console error: \"bad news\"", "exception: ", "answered 404: ", "foreign request: ", "request failed: ",
			"log security, error: ", "issue: ContentSecurityPolicyIssue", "dialog: boo"} {
			if !strings.Contains(seen, want) {
				return fmt.Errorf("%q is not among:\n%s", want, seen)
			}
		}
		return nil
	})
	var planted int
	var wide []string
	b.run(t, chromedp.Evaluate(`document.querySelectorAll("img[onerror]").length`, &planted),
		chromedp.Evaluate(strings.ReplaceAll(cutOff, "WIDTH", "390"), &wide))
	if planted != 1 || len(wide) < 2 {
		t.Errorf("planted %d, wide %q", planted, wide)
	}
}
