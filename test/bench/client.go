package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Media types of a structured CloudEvent and of a batch of them.
const (
	typeOne   = "application/cloudevents+json; charset=utf-8"
	typeBatch = "application/cloudevents-batch+json"
)

// requestTimeout is for one request, as long as Event Grid waits.
const requestTimeout = 30 * time.Second

// client is one kept-alive connection. It writes a request with one system
// call, straight from the arena, and reads no more of the answer than its
// status and length. So the generator takes little of the cores that it
// shares with the server, and the same for every server.
type client struct {
	conn  net.Conn
	r     *bufio.Reader
	host  string
	head  []byte
	parts [3][]byte
}

func dial(ctx context.Context, host string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, r: bufio.NewReaderSize(conn, 4096), host: host}, nil
}

func (c *client) close() { _ = c.conn.Close() }

var (
	openBracket  = []byte("[")
	closeBracket = []byte("]")
)

// post sends the events from (included) to to (excluded) and returns when
// they are answered. Anything but 200 is an error.
func (c *client) post(a *arena, from, to int) error {
	events := a.slice(from, to)
	parts, kind, size := c.parts[:0], typeOne, len(events)
	if to-from > 1 {
		kind, size = typeBatch, size+2
	}
	c.head = append(c.head[:0], "POST /events HTTP/1.1\r\nHost: "...)
	c.head = append(c.head, c.host...)
	c.head = append(c.head, "\r\nContent-Type: "...)
	c.head = append(c.head, kind...)
	c.head = append(c.head, "\r\nContent-Length: "...)
	c.head = strconv.AppendInt(c.head, int64(size), 10)
	c.head = append(c.head, "\r\n\r\n"...)
	if to-from > 1 {
		c.head = append(c.head, openBracket...)
		parts = append(parts, c.head, events, closeBracket)
	} else {
		parts = append(parts, c.head, events)
	}
	if err := c.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	buffers := net.Buffers(parts)
	if _, err := buffers.WriteTo(c.conn); err != nil {
		return err
	}
	return c.answer()
}

// answer reads one response and drops its body.
func (c *client) answer() error {
	status, length, err := readHead(c.r)
	if err != nil {
		return err
	}
	if status != 200 {
		text, _ := c.r.Peek(min(length, 1024))
		return fmt.Errorf("the server answered %d: %s", status, text)
	}
	_, err = c.r.Discard(length)
	return err
}

var contentLength = []byte("content-length:")

// readHead reads a status line and headers. The servers measured here answer
// with a Content-Length.
func readHead(r *bufio.Reader) (status, length int, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("not an HTTP/1.1 answer: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("not a status line: %q", line)
	}
	length = -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, 0, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if n := len(contentLength); len(line) > n && bytes.EqualFold(line[:n], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[n:]))); err != nil {
				return 0, 0, fmt.Errorf("not a length: %q", line)
			}
		}
	}
	if length < 0 {
		return 0, 0, errors.New("the answer has no Content-Length")
	}
	return status, length, nil
}
