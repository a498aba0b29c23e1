package servicebus

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/url"
)

// line is a connection that is watched: who settles over it must know at once
// that it is dead. The SDK finds out with each message anew, and takes seconds.
type line struct {
	net.Conn
	alive context.Context
	die   context.CancelFunc
}

// Read implements net.Conn.
func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err != nil {
		l.die()
	}
	return n, err
}

// Write implements net.Conn.
func (l *line) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	if err != nil {
		l.die()
	}
	return n, err
}

// Close implements net.Conn.
func (l *line) Close() error {
	l.die()
	return l.Conn.Close()
}

// dial opens the connection for the SDK and remembers it.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	conn, err := c.o.Dial(ctx)
	if err != nil {
		return nil, err
	}
	l := &line{Conn: conn}
	l.alive, l.die = context.WithCancel(c.life)
	c.line.Store(l)
	return l, nil
}

// dialer dials a namespace as the SDK would: AMQP over TLS at port 5671, or
// without TLS at 5672 for the emulator, which parseConnectionString allows on
// this machine alone ("AMQP 1.0 in Azure Service Bus and Event Hubs protocol
// guide", Microsoft Learn).
func dialer(at connection) func(context.Context) (net.Conn, error) {
	u := url.URL{Host: at.host}
	name, port := u.Hostname(), u.Port()
	if at.emulator {
		return func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(name, cmp.Or(port, "5672")))
		}
	}
	d := &tls.Dialer{Config: &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}}
	return func(ctx context.Context) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", net.JoinHostPort(name, cmp.Or(port, "5671")))
	}
}
