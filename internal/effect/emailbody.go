package effect

import (
	"bytes"
	"cmp"
	"html/template"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Bounds of a mail's subject, in characters, and of its text, in bytes.
const (
	maxSubject  = 150
	maxMailText = 16 << 10
)

// compose writes the mail. Its subject keeps out what changes while a review
// lasts, as some mail programs end a thread where the subject changes.
func (e *email) compose(d *Delivery) (*mail.Msg, error) {
	l := newLetter(d)
	var html bytes.Buffer
	if err := letterHTML.Execute(&html, l); err != nil {
		return nil, err
	}
	id := d.Key + "." + strconv.Itoa(d.Card.Review.Rev) + "@" + e.domain()
	m := mail.NewMsg(mail.WithBoundary("modelwarden-" + event.Digest("boundary", id)))
	m.FromMailAddress(e.from)
	m.ToMailAddress(e.to...)
	m.Subject(mailSubject(&d.Card.Review))
	m.SetDateWithValue(d.Now)
	m.SetMessageIDWithValue(id)
	m.SetUserAgent(e.userAgent)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence notice answers it
	m.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same, to Exchange
	if !d.Once {
		m.SetGenHeader(mail.HeaderInReplyTo, e.thread(d.Key))
		m.SetGenHeader(mail.HeaderReferences, e.thread(d.Key))
		m.SetGenHeader("X-Modelwarden-Review", plainLine(cmp.Or(d.Card.Review.ID, d.Key)))
	}
	m.SetBodyString(mail.TypeTextPlain, l.text())
	m.AddAlternativeString(mail.TypeTextHTML, html.String())
	return m, nil
}

// thread is what all mails of a review are answers to: the id of a mail that
// was never sent, so that it is known without asking anybody.
func (e *email) thread(key string) string { return "<" + key + "@" + e.domain() + ">" }

func (e *email) domain() string {
	return e.from.Address[strings.LastIndexByte(e.from.Address, '@')+1:]
}

func mailSubject(r *review.Review) string {
	title := cmp.Or(r.Title, r.Cause, "review "+r.ID)
	if r.Model != "" {
		title += " (" + pageModel(r) + ")"
	}
	return atMostChars(plainLine("[Modelwarden] "+title), maxSubject)
}

// letter is what a mail says. What came from outside makes no links, as mail
// programs would of plain text too; URL and Runbook are the only ones.
type letter struct {
	Headline, Colour, Card, URL, Runbook string
}

func newLetter(d *Delivery) *letter {
	r := &d.Card.Review
	headline := strings.ToUpper(string(r.Severity)) + " review, " + d.News.Word()
	if d.Once {
		headline = strings.ToUpper(string(r.Severity)) + " notice"
	}
	card := d.Card
	card.URL = "" // stands below, as a link
	return &letter{
		Headline: inertPage(plainLine(headline)), Colour: severityColour(r.Severity),
		Card: clip(inertPage(review.Text(&card, d.Now)), maxMailText),
		URL:  webLink(d.Card.URL), Runbook: webLink(pageRunbook(&d.Card)),
	}
}

// webLink is an address that a mail may lead to, or nothing.
func webLink(link string) string {
	if l := pageLink(link); strings.HasPrefix(l, "https://") || strings.HasPrefix(l, "http://") {
		return plainLine(l)
	}
	return ""
}

func severityColour(s review.Severity) string {
	switch s {
	case review.Critical:
		return "#b00020"
	case review.Warning:
		return "#9a5b00"
	}
	return "#33566b"
}

func (l *letter) text() string {
	var b strings.Builder
	b.WriteString(l.Headline + "\n\n" + l.Card)
	for _, link := range []struct{ label, to string }{{"Review", l.URL}, {"Runbook", l.Runbook}} {
		if link.to != "" {
			b.WriteString("\n" + link.label + ": " + link.to + "\n")
		}
	}
	return b.String()
}

// letterHTML loads nothing from anywhere: no pictures, no fonts, no style
// sheets.
var letterHTML = template.Must(template.New("letter").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Headline}}</title></head>
<body style="margin:0;padding:16px;font-family:Segoe UI,Helvetica,Arial,sans-serif;color:#1b1b1b">
<p style="margin:0 0 12px;padding:8px 12px;color:#ffffff;background:{{.Colour}}"><strong>{{.Headline}}</strong></p>
<div style="white-space:pre-wrap;font-family:Consolas,Menlo,monospace;font-size:13px;line-height:1.45">{{.Card}}</div>
<p style="margin:16px 0 0">{{with .URL}}<a href="{{.}}">Open the review</a>{{end}}{{with .Runbook}} &nbsp; <a href="{{.}}">Runbook</a>{{end}}</p>
</body></html>
`))
