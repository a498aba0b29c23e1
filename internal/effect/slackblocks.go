package effect

import (
	"encoding/json"
	"strings"

	"github.com/modelwarden/modelwarden/internal/review"
)

// Limits of Slack's Block Kit, in characters ("Header block", "Button
// element", "chat.postMessage"). That of all blocks together is not written
// down; messages of more than 13,000 characters of JSON were refused with
// msg_blocks_too_long.
const (
	slackHeader = 150
	slackURL    = 3000
	slackBlocks = 12000
)

// slackMessage is what a message shows: blocks, and the text of its
// notification.
type slackMessage struct {
	text   string
	blocks []any
}

// newSlackMessage writes a notice with Block Kit. All that comes from outside
// is in plain_text objects and rich_text's text elements, which know no markup.
func newSlackMessage(n notice, mentions []any) slackMessage {
	m := slackMessage{text: slackEscape(n.Headline() + " (" + n.Standing + ")")}
	if n.Standing == "" {
		m.text = slackEscape(n.Headline())
	}
	for {
		m.blocks = slackLayout(n, mentions)
		written, _ := json.Marshal(m.blocks) // maps of texts
		if len(written) <= slackBlocks || len(n.Sections) == 0 {
			return m
		}
		n.Sections = n.Sections[:len(n.Sections)-1]
	}
}

func slackLayout(n notice, mentions []any) []any {
	blocks := []any{map[string]any{"type": "header", "text": slackPlain(atMostChars(n.Headline(), slackHeader))}}
	if body := slackBody(n); len(body) > 0 {
		blocks = append(blocks, map[string]any{"type": "rich_text", "elements": body})
	}
	if len(mentions) > 0 {
		blocks = append(blocks, map[string]any{"type": "rich_text", "elements": []any{slackSection(mentions...)}})
	}
	if buttons := slackButtons(n); len(buttons) > 0 {
		blocks = append(blocks, map[string]any{"type": "actions", "elements": buttons})
	}
	return append(blocks, map[string]any{"type": "context", "elements": []any{slackPlain(n.Mark)}})
}

// slackBody is the standing, the facts and the lists.
func slackBody(n notice) []any {
	var out []any
	if n.Standing != "" {
		out = append(out, slackSection(slackText(n.Standing+"\n")))
	}
	for _, f := range n.Facts {
		out = append(out, slackSection(slackBold(f.Name+": "), slackText(f.Text+"\n")))
	}
	for _, s := range n.Sections {
		items := make([]any, len(s.Items))
		for i, it := range s.Items {
			items[i] = slackSection(slackText(it))
		}
		out = append(out, slackSection(slackBold("\n"+s.Title+"\n")),
			map[string]any{"type": "rich_text_list", "style": "bullet", "elements": items})
	}
	return out
}

func slackButtons(n notice) []any {
	var out []any
	for _, b := range []struct{ id, label, url string }{{"review", "Open review", n.Page}, {"runbook", "Runbook", n.Runbook}} {
		if b.url != "" && len(b.url) <= slackURL {
			out = append(out, map[string]any{"type": "button", "action_id": "modelwarden_" + b.id, "text": slackPlain(b.label), "url": b.url})
		}
	}
	return out
}

func slackSection(elements ...any) any {
	return map[string]any{"type": "rich_text_section", "elements": elements}
}

func slackText(s string) any { return map[string]any{"type": "text", "text": s} }

func slackBold(s string) any {
	return map[string]any{"type": "text", "text": s, "style": map[string]any{"bold": true}}
}

func slackPlain(s string) any {
	return map[string]any{"type": "plain_text", "text": s, "emoji": false}
}

// slackEntities are the three characters that mrkdwn wants escaped.
var slackEntities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slackEscape makes text literal in mrkdwn.
func slackEscape(s string) string { return slackEntities.Replace(s) }

// slackMentions writes the configured mentions as elements of rich text.
func slackMentions(configured []string) []any {
	var out []any
	for _, m := range configured {
		switch {
		case m == "here":
			out = append(out, map[string]any{"type": "broadcast", "range": "here"})
		case strings.HasPrefix(m, "S"):
			out = append(out, map[string]any{"type": "usergroup", "usergroup_id": m})
		default:
			out = append(out, map[string]any{"type": "user", "user_id": m})
		}
		out = append(out, slackText(" "))
	}
	return out
}

// mentioned are those who are to be told, while there is something for them
// to do.
func mentioned(mentions []any, d Delivery) []any {
	if d.Once || pageQuiet(&d.Card.Review) {
		return nil
	}
	return mentions
}

// newSlackNews is the reply that calls people to a message they have seen.
func newSlackNews(n notice, news review.News, mentions []any) slackMessage {
	title := strings.ToUpper(news.Word()) + ": " + n.Title
	elements := []any{slackBold(title + "\n"), slackText(n.Standing + " ")}
	return slackMessage{
		text:   slackEscape(title + " (" + n.Standing + ")"),
		blocks: []any{map[string]any{"type": "rich_text", "elements": []any{slackSection(append(elements, mentions...)...)}}},
	}
}
