package effect

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// Values of EmailTarget.TLS; the third is starttls.
const (
	implicitTLS = "implicit"
	withoutTLS  = "none"
)

// loginSecrets are the forms in which a server could repeat a login.
func loginSecrets(user, password string) []string {
	if password == "" {
		return nil
	}
	encode := base64.StdEncoding.EncodeToString
	return []string{password, encode([]byte(password)), encode([]byte("\x00" + user + "\x00" + password))}
}

// mailSession is one connection to the server. It ends with its context.
type mailSession struct {
	*email
	ctx  context.Context
	conn net.Conn
	stop func() bool
}

func (s *mailSession) close() {
	if s.conn != nil {
		s.stop()
		_ = s.conn.Close()
	}
}

// deliver logs in and hands the mail over; refused are the recipients that the
// server would not take, when it took others.
func (s *mailSession) deliver(m *mail.Msg) (refused []error, err error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	c, err := client.DialToSMTPClientWithContext(s.ctx)
	if err != nil {
		return nil, err
	}
	// The library's own Send gives up when one recipient is refused.
	if err := c.Mail(angle(s.from.Address)); err != nil {
		return nil, err
	}
	if refused, err = s.address(c); err != nil {
		return nil, err
	}
	w, err := c.Data()
	if err != nil {
		return nil, err
	}
	if _, err := m.WriteTo(w); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	_ = c.Quit() // the mail is the server's by now
	return refused, nil
}

// angle writes an address as SMTP's commands take it.
func angle(address string) string { return (&netmail.Address{Address: address}).String() }

// address names the recipients to the server. It fails when none is taken, for
// a passing reason if one of the reasons is.
func (s *mailSession) address(c *smtp.Client) (refused []error, err error) {
	var worst error
	for _, to := range s.to {
		err := c.Rcpt(angle(to.Address))
		if err == nil {
			continue
		}
		var said *textproto.Error
		if !errors.As(err, &said) {
			return nil, err
		}
		err = fmt.Errorf("%s: %w", to.Address, err)
		if worst == nil || said.Code < 500 {
			worst = err
		}
		refused = append(refused, err)
	}
	if len(refused) == len(s.to) {
		return nil, worst
	}
	return refused, nil
}

// client makes the library's client, which connects through open.
func (s *mailSession) client() (*mail.Client, error) {
	security, login := mail.TLSMandatory, mail.SMTPAuthAutoDiscover
	switch s.tls {
	case implicitTLS:
		security = mail.TLSOpportunistic // it is encrypted already, see open
	case withoutTLS:
		security, login = mail.NoTLS, mail.SMTPAuthPlainNoEnc
	}
	options := []mail.Option{
		mail.WithPort(s.port), mail.WithTimeout(serviceTimeout), mail.WithTLSPolicy(security),
		mail.WithTLSConfig(s.tlsConfig), mail.WithDialContextFunc(s.open),
	}
	if s.password != "" {
		options = append(options, mail.WithSMTPAuth(login), mail.WithUsername(s.user), mail.WithPassword(s.password))
	}
	return mail.NewClient(s.host, options...)
}

// open dials where the target may go, and encrypts at once where it is to.
func (s *mailSession) open(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := s.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s.conn, s.stop = conn, context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	if at, ok := s.ctx.Deadline(); ok {
		_ = conn.SetDeadline(at)
	} else {
		_ = conn.SetDeadline(time.Now().Add(serviceTimeout))
	}
	switch {
	case s.tls == implicitTLS:
		encrypted := tls.Client(conn, s.tlsConfig)
		return encrypted, encrypted.HandshakeContext(ctx)
	case s.tls == withoutTLS && s.password != "" && !onLoopback(conn.RemoteAddr()):
		return nil, &policy.PermanentError{Err: errors.New("the password would cross a network unencrypted: set tls to starttls or implicit")}
	}
	return conn, nil
}

func onLoopback(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// failure sorts what went wrong into passing and permanent: SMTP answers 5xx
// for good, 4xx for now (RFC 5321 §4.2.1).
func (s *mailSession) failure(err error) error {
	where := net.JoinHostPort(s.host, strconv.Itoa(s.port))
	var refused *DialError
	var permanent *policy.PermanentError
	if errors.As(err, &refused) || errors.As(err, &permanent) {
		return &policy.PermanentError{Err: fmt.Errorf("mail by %s: %w", where, err)}
	}
	if cause := s.ctx.Err(); cause != nil {
		return fmt.Errorf("mail by %s: %w", where, cause)
	}
	told := fmt.Errorf("mail by %s: %s", where, s.hide.excerpt([]byte(err.Error())))
	var said *textproto.Error
	switch {
	case errors.As(err, &said) && (said.Code == 530 || said.Code == 535):
		return &policy.PermanentError{Err: hint(told, "check user and the token, which is the password")}
	case errors.As(err, &said) && said.Code >= 500:
		return &policy.PermanentError{Err: told}
	case strings.Contains(err.Error(), "does not support STARTTLS"): // the library has no value for it
		return &policy.PermanentError{Err: hint(told, "the server has to offer STARTTLS; tls: implicit is for servers that encrypt from the first word (port 465)")}
	case errors.Is(err, mail.ErrNoSupportedAuthDiscovered):
		return &policy.PermanentError{Err: hint(told, "the server offers no login that this service knows")}
	}
	return told
}
