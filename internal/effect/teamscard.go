package effect

import (
	"encoding/json"
	"strings"

	"github.com/modelwarden/modelwarden/internal/review"
)

// teamsMessage bounds a message, in bytes: Teams takes about 28 KB, of which
// the workflow's own wrapping is a part.
const teamsMessage = 24 << 10

// newTeamsMessage writes a notice as a message with one Adaptive Card. All that
// comes from outside is in text runs, which know no markup, or is escaped.
func newTeamsMessage(n notice) []byte {
	for {
		written, _ := json.Marshal(map[string]any{ // maps of texts
			"type": "message",
			"attachments": []any{map[string]any{
				"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": teamsCard(n),
			}},
		})
		if len(written) <= teamsMessage || len(n.Sections) == 0 {
			return written
		}
		n.Sections = n.Sections[:len(n.Sections)-1]
	}
}

// teamsCard lays the card out: a band in the severity's colour, where it
// stands, the facts, the lists, and where to go.
func teamsCard(n notice) any {
	body := []any{map[string]any{
		"type": "Container", "style": teamsStyle(n), "bleed": true,
		"items": []any{teamsRuns(teamsRun(teamsHeadline(n), "Large", "Bolder"))},
	}}
	if n.Standing != "" {
		body = append(body, teamsRuns(teamsRun(n.Standing, "Default", "Default")))
	}
	if len(n.Facts) > 0 {
		body = append(body, teamsFacts(n.Facts))
	}
	for _, s := range n.Sections {
		body = append(body, teamsRuns(teamsRun(s.Title, "Default", "Bolder")))
		for _, it := range s.Items {
			body = append(body, teamsRuns(teamsRun("• "+it, "Default", "Default")))
		}
	}
	mark := teamsRun(n.Mark, "Small", "Default")
	mark["isSubtle"] = true
	return map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"fallbackText": "A review of Modelwarden's, which this client is too old to show.",
		"body":         append(body, teamsRuns(mark)), "actions": teamsActions(n),
	}
}

// teamsHeadline puts what is new before what is wrong.
func teamsHeadline(n notice) string {
	if n.News == "" || n.News == review.NewsOpened.Word() {
		return n.Headline()
	}
	return n.Headline() + " (" + n.News + ")"
}

// teamsStyle is a container's colour for a severity; green when it is over.
func teamsStyle(n notice) string {
	switch {
	case n.News == review.NewsResolved.Word():
		return "good"
	case n.Severity == review.Critical || n.Severity == review.Error:
		return "attention"
	case n.Severity == review.Warning:
		return "warning"
	}
	return "emphasis"
}

func teamsRuns(run map[string]any) any {
	return map[string]any{"type": "RichTextBlock", "inlines": []any{run}}
}

func teamsRun(text, size, weight string) map[string]any {
	return map[string]any{"type": "TextRun", "text": teamsPlain.Replace(text), "size": size, "weight": weight}
}

// teamsPlain keeps text from being one of the functions, such as {{DATE(...)}},
// that cards evaluate everywhere.
var teamsPlain = strings.NewReplacer("{{", "{\u200b{")

// teamsMarkdown are the characters of the Markdown that facts are read as.
var teamsMarkdown = strings.NewReplacer(
	"{{", "{\u200b{", `\`, `\\`, "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "`", "\\`", "~", `\~`, "#", `\#`,
)

func teamsFacts(facts []noticeFact) any {
	out := make([]any, len(facts))
	for i, f := range facts {
		out[i] = map[string]any{"title": f.Name, "value": teamsFact(f.Text)}
	}
	return map[string]any{"type": "FactSet", "facts": out}
}

// teamsFact makes text literal in Markdown, at its beginning as well, where
// "- " and "1. " are lists.
func teamsFact(s string) string {
	s = teamsMarkdown.Replace(s)
	if strings.HasPrefix(s, "- ") || strings.HasPrefix(s, "+ ") || strings.TrimLeft(s, "0123456789") != s {
		s = "\u200b" + s
	}
	return s
}

func teamsActions(n notice) []any {
	out := []any{}
	for _, a := range []struct{ title, url string }{{"Open review", n.Page}, {"Runbook", n.Runbook}} {
		if a.url != "" {
			out = append(out, map[string]any{"type": "Action.OpenUrl", "title": a.title, "url": a.url})
		}
	}
	return out
}
