//go:build peers

package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/fetch"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// pageTime bounds everything that happens on one page.
const pageTime = 30 * time.Second

// bootChromium starts a headless Chromium with a fresh profile.
func bootChromium(t *testing.T) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(peer(t, "chromium")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(time.Minute))
	allocator, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	// A browser that is closed, not killed, leaves its profile to be removed.
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is one tab of the browser, and all that went wrong in it.
type tab struct {
	ctx    context.Context
	origin string

	mu       sync.Mutex
	problems []string
}

// open makes a tab for the pages of one origin.
func open(t *testing.T, browser context.Context, origin string, setup ...chromedp.Action) *tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(browser)
	t.Cleanup(stop)
	b := &tab{ctx: ctx, origin: origin}
	chromedp.ListenTarget(ctx, b.watch)
	b.run(t, append([]chromedp.Action{network.Enable(), cdplog.Enable(), audits.Enable(), page.Enable()}, setup...)...)
	return b
}

// run does something in the tab and fails the test when that is not possible.
func (b *tab) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, pageTime)
	defer cancel()
	// The first run makes the tab, which lives as long as the context given.
	if chromedp.FromContext(b.ctx).Target == nil {
		ctx = b.ctx
	}
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatalf("%v; in the tab: %q", err, b.taken())
	}
}

// watch files what the browser reports as a fault.
func (b *tab) watch(ev any) {
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.problem("exception: %s", e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning || e.Type == runtime.APITypeAssert {
			b.problem("console %s: %s", e.Type, said(e.Args))
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.LevelError || e.Entry.Level == cdplog.LevelWarning {
			b.problem("log %s, %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(e.Issue.Details)
		b.problem("issue: %s %s", e.Issue.Code, details)
	case *page.EventJavascriptDialogOpening:
		b.problem("dialog: %s", e.Message)
		go func() { _ = chromedp.Run(b.ctx, page.HandleJavaScriptDialog(true)) }()
	default:
		b.watchNetwork(ev)
	}
}

func (b *tab) watchNetwork(ev any) {
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || (u.Scheme+"://"+u.Host != b.origin && u.Scheme != "data") {
			b.problem("foreign request: %s", e.Request.URL)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			b.problem("request answered %d: %s", e.Response.Status, e.Response.URL)
		}
	case *network.EventLoadingFailed:
		b.problem("request failed: %s %s", e.Type, e.ErrorText)
	}
}

func said(args []*runtime.RemoteObject) string {
	var parts []string
	for _, a := range args {
		parts = append(parts, string(a.Value)+a.Description)
	}
	return strings.Join(parts, " ")
}

func (b *tab) problem(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, fmt.Sprintf(format, args...))
}

// taken are the problems since it was last asked.
func (b *tab) taken() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.problems
	b.problems = nil
	return out
}

// signIn answers the browser's question for a name and password, as a person
// at the dialog would.
func signIn(ctx context.Context, user, password string) chromedp.Action {
	chromedp.ListenTarget(ctx, func(ev any) {
		var answer chromedp.Action
		switch e := ev.(type) {
		case *fetch.EventAuthRequired:
			answer = fetch.ContinueWithAuth(e.RequestID, &fetch.AuthChallengeResponse{
				Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: user, Password: password})
		case *fetch.EventRequestPaused:
			answer = fetch.ContinueRequest(e.RequestID)
		default:
			return
		}
		go func() { _ = chromedp.Run(ctx, answer) }()
	})
	return fetch.Enable().WithHandleAuthRequests(true)
}

// cutOff lists what reaches beyond the right edge of the window, although
// nothing around it can be scrolled, and what is squeezed into a column of
// letters: text that nobody can read. A page that is wider than the window
// itself is the first of the list.
const cutOff = `(() => {
  const found = [];
  if (document.documentElement.scrollWidth > WIDTH) found.push("the page is " + document.documentElement.scrollWidth + " wide");
  const scrolls = (e) => { for (; e && e !== document.body; e = e.parentElement) if (/auto|scroll/.test(getComputedStyle(e).overflowX)) return true; return false; };
  for (const e of document.body.querySelectorAll("*")) {
    const hidden = e.closest(".hidden, .skip, thead, ul.strip, [hidden], [data-graph], details:not([open]) > :not(summary)");
    if (!hidden && e.getClientRects().length && e.getBoundingClientRect().right > WIDTH + 1 && !scrolls(e))
      found.push(e.tagName + "." + e.className + " ends at " + Math.round(e.getBoundingClientRect().right) + ": " + e.textContent.trim().slice(0, 60));
    if (!hidden && /^(DD|DT|TD|P|LI)$/.test(e.tagName) && e.textContent.trim().length > 8 && e.getBoundingClientRect().width < 40)
      found.push(e.tagName + "." + e.className + " is squeezed: " + e.textContent.trim().slice(0, 60));
  }
  return found;
})()`

// checkWidth fails the test when the page does not fit into so many pixels.
func (b *tab) checkWidth(t *testing.T, width int64) {
	t.Helper()
	var found []string
	b.run(t, chromedp.Evaluate(strings.ReplaceAll(cutOff, "WIDTH", fmt.Sprint(width)), &found))
	for _, f := range found {
		t.Errorf("at %d pixels: %s", width, f)
	}
}
