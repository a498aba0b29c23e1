package effect_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
)

const mailUser = "warden"

// postOffice is an SMTP server that keeps what it was given.
type postOffice struct {
	*smtp.Server
	port  int
	roots *x509.CertPool

	mu    sync.Mutex
	mails []letterTo
	// refuse are the answers to recipients, by address; fail to all mails.
	refuse map[string]*smtp.SMTPError
	fail   error
	// logins counts those that succeeded, encrypted the mails that came so.
	logins, encrypted int
}

type letterTo struct {
	from string
	to   []string
	raw  string
}

// newPostOffice listens: tlsMode is as in EmailTarget, and "plain" a server that
// knows no STARTTLS.
func newPostOffice(t *testing.T, tlsMode string) *postOffice {
	t.Helper()
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	o := &postOffice{roots: x509.NewCertPool(), refuse: map[string]*smtp.SMTPError{}}
	o.roots.AddCert(certified.Certificate())
	o.Server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &counter{o: o, c: c}, nil }))
	o.Domain = "127.0.0.1"
	config := &tls.Config{Certificates: certified.TLS.Certificates}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.port = l.Addr().(*net.TCPAddr).Port
	switch tlsMode {
	case "implicit":
		l = tls.NewListener(l, config)
	case "", "starttls":
		o.TLSConfig = config
	default:
		o.AllowInsecureAuth = true
	}
	o.ErrorLog = quietLog{}
	go func() { _ = o.Serve(l) }()
	t.Cleanup(func() { _ = o.Close() })
	return o
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}
func (quietLog) Println(...any)        {}

// counter is one session at the post office.
type counter struct {
	o *postOffice
	c *smtp.Conn
	letterTo
}

func (s *counter) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *counter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != mailUser || password != pagerKey {
			// A server that tells more than it should.
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no such login: " + user + " " + password}
		}
		s.o.mu.Lock()
		defer s.o.mu.Unlock()
		s.o.logins++
		return nil
	}), nil
}

func (s *counter) Reset()        { s.letterTo = letterTo{} }
func (s *counter) Logout() error { return nil }

func (s *counter) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *counter) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	if no := s.o.refuse[to]; no != nil {
		return no
	}
	s.to = append(s.to, to)
	return nil
}

func (s *counter) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	if s.o.fail != nil {
		return s.o.fail
	}
	if _, ok := s.c.TLSConnectionState(); ok {
		s.o.encrypted++
	}
	s.raw = string(raw)
	s.o.mails = append(s.o.mails, s.letterTo)
	return nil
}

// target is how the post office is configured.
func (o *postOffice) target() *policy.EmailTarget {
	return &policy.EmailTarget{
		Host: "127.0.0.1", Port: o.port, From: "Modelwarden <warden@contoso.example>",
		To: []string{"Ada <ada@contoso.example>", "grace@contoso.example"}, User: mailUser, Token: policy.Token{TokenEnv: "SMTP"},
	}
}

func (o *postOffice) ticketer(t *testing.T, target *policy.EmailTarget) effect.Ticketer {
	t.Helper()
	to := ticketers(t, policy.Target{Email: target})
	effect.TrustMail(to, o.roots)
	return to
}

// read takes a mail apart as a mail program does: the headers, the two bodies.
func (l letterTo) read(t *testing.T) (header mail.Header, text, html string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(l.raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q: %v", kind, err)
	}
	bodies := map[string]string{}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m.Header, bodies["text/plain"], bodies["text/html"]
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, params, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if !strings.EqualFold(params["charset"], "utf-8") || p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Errorf("part %v", p.Header)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		bodies[kind] = strings.ReplaceAll(string(b), "\r\n", "\n")
	}
}
