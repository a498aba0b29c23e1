package effect_test

import (
	"context"
	"encoding/base64"
	"errors"
	"mime"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

func newMailed(t *testing.T) (*paged, *postOffice) {
	t.Helper()
	o := newPostOffice(t, "starttls")
	p := newPaged(t, o.ticketer(t, o.target()))
	p.review().Rev = 1
	return p, o
}

func TestAReviewIsAMail(t *testing.T) {
	p, o := newMailed(t)
	p.deliver(review.NewsOpened)
	if len(o.mails) != 1 || o.encrypted != 1 || o.logins != 1 {
		t.Fatalf("%d mails, %d encrypted, %d logins", len(o.mails), o.encrypted, o.logins)
	}
	m := o.mails[0]
	if m.from != "warden@contoso.example" || strings.Join(m.to, " ") != "ada@contoso.example grace@contoso.example" {
		t.Errorf("from %s to %v", m.from, m.to)
	}
	h, text, html := m.read(t)
	thread := "<" + pagedID + "@contoso.example>"
	for name, want := range map[string]string{
		"Message-Id": "<" + pagedID + ".1@contoso.example>", "In-Reply-To": thread, "References": thread,
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "X-Modelwarden-Review": pagedID,
		"Subject": "[Modelwarden] churn drifts (churn)", "From": `"Modelwarden" <warden@contoso.example>`,
		"Mime-Version": "1.0", "User-Agent": "modelwarden/test",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	if at, err := h.Date(); err != nil || !at.Equal(p.now) {
		t.Errorf("date %v, %v", at, err)
	}
	for _, want := range []string{"WARNING review, opened", "PSI 0.35 over 0.2", "risk team", p.card.URL, p.card.Runbook} {
		if !strings.Contains(text, want) || !strings.Contains(html, want) {
			t.Errorf("no %q in\n%s\n%s", want, text, html)
		}
	}
	if p.ticket.Ref != thread || p.ticket.State != review.Open || p.ticket.Rev != 1 || p.ticket.Failed != "" {
		t.Errorf("ticket %+v", p.ticket)
	}
}

func TestMailsFollowTheReview(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(p *paged)
		want string // the mails after the first
	}{
		"the same again": {func(p *paged) { p.deliver(review.NewsOpened); p.deliver(0) }, ""},
		"more signals":   {func(p *paged) { p.review().Count = 9; p.deliver(review.NewsCounted) }, ""},
		"a comment":      {func(p *paged) { p.deliver(review.NewsComment) }, ""},
		"acknowledged":   {func(p *paged) { p.do(review.Ack, time.Time{}); p.deliver(review.NewsAcknowledged) }, "acknowledged"},
		"resolved":       {func(p *paged) { p.do(review.Resolve, time.Time{}); p.deliver(review.NewsResolved) }, "resolved"},
		"snoozed":        {func(p *paged) { p.do(review.Snooze, p.now.Add(time.Hour)); p.deliver(0) }, ""},
		"snoozed, awake": {func(p *paged) {
			p.do(review.Snooze, p.now.Add(time.Hour))
			p.open(review.Warning)
			p.deliver(review.NewsAwake)
		}, "open again"},
		"silenced, awake": {func(p *paged) {
			p.review().Silence = &review.Silenced{}
			p.deliver(review.NewsSeverity)
			p.review().Silence = nil
			p.deliver(review.NewsAwake)
			p.deliver(review.NewsAwake)
		}, "open again"},
		"more severe": {func(p *paged) { p.review().Severity = review.Critical; p.deliver(review.NewsSeverity) }, "more severe"},
		"escalated, twice": {func(p *paged) {
			for level := range 2 {
				p.review().Escalated, p.review().Level = p.now, level+1
				p.deliver(review.NewsEscalated)
			}
		}, "escalated, escalated"},
		"resolved, reopened": {func(p *paged) {
			p.do(review.Resolve, time.Time{})
			p.open(review.Warning)
			p.deliver(review.NewsReopened)
		}, "resolved, reopened"},
	} {
		t.Run(name, func(t *testing.T) {
			p, o := newMailed(t)
			p.deliver(review.NewsOpened)
			tc.do(p)
			var got []string
			for _, m := range o.mails[1:] {
				h, text, _ := m.read(t)
				first, _, _ := strings.Cut(text, "\n")
				_, what, _ := strings.Cut(first, ", ")
				got = append(got, what)
				if h.Get("References") != p.ticket.Ref || h.Get("Subject") != "[Modelwarden] churn drifts (churn)" {
					t.Errorf("out of its thread: %v", h)
				}
			}
			if strings.Join(got, ", ") != tc.want {
				t.Errorf("mails %q, want %q", got, tc.want)
			}
		})
	}
}

// Nobody was told that it began, so nobody needs to hear that it is quiet.
func TestNoMailOfWhatIsInHand(t *testing.T) {
	for name, set := range map[string]func(r *review.Review){
		"acknowledged": func(r *review.Review) { r.State = review.Acknowledged },
		"snoozed":      func(r *review.Review) { r.State = review.Snoozed },
		"resolved":     func(r *review.Review) { r.State = review.Resolved },
		"silenced":     func(r *review.Review) { r.Silence = &review.Silenced{} },
	} {
		p, o := newMailed(t)
		set(p.review())
		p.deliver(review.NewsAcknowledged | review.NewsOpened)
		if len(o.mails) != 0 || p.ticket.Ref != "" {
			t.Errorf("%s: mails %v, ticket %+v", name, o.mails, p.ticket)
		}
	}
}

// A crash between sending and keeping the ticket: the second mail has the id of
// the first.
func TestAMailSentTwiceHasOneID(t *testing.T) {
	p, o := newMailed(t)
	p.deliver(review.NewsOpened)
	p.ticket = review.Ticket{}
	p.deliver(review.NewsOpened)
	first, _, _ := o.mails[0].read(t)
	second, _, _ := o.mails[1].read(t)
	if len(o.mails) != 2 || first.Get("Message-Id") != second.Get("Message-Id") {
		t.Errorf("%v and %v", first, second)
	}
}

func TestANoticeIsOneMail(t *testing.T) {
	p, o := newMailed(t)
	got, err := p.to.Deliver(t.Context(), effect.Delivery{Key: "notice-1", Card: p.card, Once: true, News: review.NewsOpened, Now: t0})
	if err != nil || got != (review.Ticket{}) || len(o.mails) != 1 {
		t.Fatalf("%+v, %v, %d mails", got, err, len(o.mails))
	}
	h, text, _ := o.mails[0].read(t)
	if h.Get("References") != "" || h.Get("X-Modelwarden-Review") != "" || !strings.HasPrefix(text, "WARNING notice\n") {
		t.Errorf("%v\n%s", h, text)
	}
}

func TestForeignTextStaysTextInMails(t *testing.T) {
	p, o := newMailed(t)
	r := p.review()
	r.Title, r.Reason, r.ID = hostileText+"\r\nBcc: eve@evil.contoso.example\r\n\r\nbody é", hostileText, "x\r\nBcc: eve@evil.contoso.example"
	r.Policies, p.card.Owner, p.card.Runbook, p.card.URL = []string{hostileText}, hostileText, "javascript:alert(1)", "https://u:p@evil.contoso.example"
	p.deliver(review.NewsOpened)
	h, text, html := o.mails[0].read(t)
	if len(h["Bcc"]) != 0 || len(o.mails[0].to) != 2 || len(h) > 16 {
		t.Errorf("headers %v", h)
	}
	if _, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject")); err != nil {
		t.Error(err)
	}
	for _, bad := range append(activeParts, "://u:p@") {
		if strings.Contains(text, bad) || strings.Contains(html, bad) {
			t.Errorf("%q is in the mail:\n%s\n%s", bad, text, html)
		}
	}
	for _, remote := range []string{"src=", "url(", "<img", "<link", "<script", "href="} {
		if strings.Contains(html, remote) {
			t.Errorf("%q is in the HTML:\n%s", remote, html)
		}
	}
}

func TestMailGoesByEveryKindOfTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		server, tls string
		login       bool
		encrypted   int
	}{
		"starttls": {"starttls", "", true, 1}, "implicit": {"implicit", "implicit", true, 1},
		"none": {"plain", "none", false, 0}, "none, with a password on loopback": {"plain", "none", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := newPostOffice(t, tc.server)
			target := o.target()
			target.TLS = tc.tls
			if !tc.login {
				target.User, target.Token = "", policy.Token{}
			}
			p := newPaged(t, o.ticketer(t, target))
			p.deliver(review.NewsOpened)
			if len(o.mails) != 1 || o.encrypted != tc.encrypted || (o.logins == 1) != tc.login {
				t.Errorf("%d mails, %d encrypted, %d logins", len(o.mails), o.encrypted, o.logins)
			}
		})
	}
}

func TestMailIsNotSentInClear(t *testing.T) {
	o := newPostOffice(t, "plain")
	p := newPaged(t, o.ticketer(t, o.target()))
	if err := p.try(review.NewsOpened); !isPermanent(err) || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("error %v", err)
	}
	strange := newPostOffice(t, "starttls")
	p = newPaged(t, ticketers(t, policy.Target{Email: strange.target()}))
	if err := p.try(review.NewsOpened); err == nil || isPermanent(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody's: %v", err)
	}
	if len(o.mails)+len(strange.mails)+o.logins+strange.logins != 0 {
		t.Error("something was sent")
	}
}

func TestRefusalsOfAMailServer(t *testing.T) {
	no := func(code int) *smtp.SMTPError { return &smtp.SMTPError{Code: code, Message: "no " + pagerKey} }
	for name, tc := range map[string]struct {
		do        func(o *postOffice)
		permanent bool
		want      string
	}{
		"4xx for the mail": {func(o *postOffice) { o.fail = no(451) }, false, "451"},
		"5xx for the mail": {func(o *postOffice) { o.fail = no(554) }, true, "554"},
		"everybody refused, one for now": {func(o *postOffice) {
			o.refuse["ada@contoso.example"], o.refuse["grace@contoso.example"] = no(450), no(550)
		}, false, "ada@contoso.example: 450"},
		"everybody refused": {func(o *postOffice) {
			o.refuse["ada@contoso.example"], o.refuse["grace@contoso.example"] = no(550), no(551)
		}, true, "ada@contoso.example: 550"},
	} {
		t.Run(name, func(t *testing.T) {
			p, o := newMailed(t)
			tc.do(o)
			err := p.try(review.NewsOpened)
			if err == nil || isPermanent(err) != tc.permanent || !strings.Contains(err.Error(), tc.want) || p.ticket.Ref != "" {
				t.Errorf("error %v, ticket %+v", err, p.ticket)
			}
		})
	}
}

func TestOneRefusedRecipientDoesNotKeepTheOthersFromAMail(t *testing.T) {
	p, o := newMailed(t)
	o.refuse["ada@contoso.example"] = &smtp.SMTPError{Code: 550, Message: "nobody " + pagerKey}
	p.deliver(review.NewsOpened)
	p.deliver(review.NewsOpened)
	if len(o.mails) != 1 || strings.Join(o.mails[0].to, "") != "grace@contoso.example" {
		t.Errorf("mails %v", o.mails)
	}
	if f := p.ticket.Failed; !strings.Contains(f, "ada@contoso.example: 550") || strings.Contains(f, pagerKey) {
		t.Errorf("failed %q", f)
	}
}

func TestAWrongLoginIsSaidWithoutIt(t *testing.T) {
	o := newPostOffice(t, "starttls")
	target := o.target()
	target.User = "somebody"
	p := newPaged(t, o.ticketer(t, target))
	err := p.try(review.NewsOpened)
	if !isPermanent(err) || !strings.Contains(err.Error(), "535") || !strings.Contains(err.Error(), "check user") {
		t.Errorf("error %v", err)
	}
	if coded := base64.StdEncoding.EncodeToString([]byte("\x00somebody\x00" + pagerKey)); strings.Contains(err.Error(), coded) {
		t.Errorf("error %v", err)
	}
}

// A server that accepts connections and says nothing.
func TestAMuteMailServerIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	o := newPostOffice(t, "starttls")
	target := o.target()
	target.Port = l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if c, err := l.Accept(); err == nil {
			cancel()
			defer func() { _ = c.Close() }()
			_, _ = c.Read(make([]byte, 1))
		}
	}()
	_, err = o.ticketer(t, target).Deliver(ctx, effect.Delivery{Key: pagedID, Card: newPaged(t, nil).card, News: review.NewsOpened, Now: t0})
	if !errors.Is(err, context.Canceled) || isPermanent(err) {
		t.Errorf("error %v", err)
	}
}

func TestMailGoesNowhereThatIsNotAllowed(t *testing.T) {
	all, err := effect.NewTicketers(map[string]policy.Target{"post": {Email: &policy.EmailTarget{Host: "10.1.2.3", From: "a@contoso.example", To: []string{"b@contoso.example"}}}}, effect.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = all["post"].Deliver(t.Context(), effect.Delivery{Key: pagedID, Card: newPaged(t, nil).card, News: review.NewsOpened, Now: t0})
	if !isPermanent(err) || !strings.Contains(err.Error(), "targets.post.email.allowPrivate") {
		t.Errorf("error %v", err)
	}
}

// The configuration is checked by the name; where the name leads counts.
func TestAPasswordDoesNotLeaveTheMachineInClear(t *testing.T) {
	o := newPostOffice(t, "plain")
	target := o.target()
	target.TLS = "none"
	to := o.ticketer(t, target)
	elsewhere, there := net.Pipe() // an end of a pipe is on no loopback
	defer func() { _ = there.Close() }()
	effect.ConnectMail(to, elsewhere)
	err := newPaged(t, to).try(review.NewsOpened)
	if !isPermanent(err) || !strings.Contains(err.Error(), "unencrypted") {
		t.Errorf("error %v", err)
	}
}
