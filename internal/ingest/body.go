package ingest

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Errors of reading a body; anything else came from the connection.
var (
	errBodyTooLarge = errors.New("body too large")
	errNoRoom       = errors.New("too many bytes in flight")
	errEncoding     = errors.New("unknown content encoding")
	errCorrupt      = errors.New("corrupt gzip")
)

const (
	firstBuffer  = 4 << 10
	pooledBuffer = 2 << 20 // larger ones go back to the collector
)

// bodyReader reads bodies into pooled buffers, none larger than max and all
// of them together not larger than the budget.
type bodyReader struct {
	max     int64
	budget  *semaphore.Weighted
	wait    time.Duration
	buffers sync.Pool // of *[]byte
	gzips   sync.Pool // of *gzip.Reader
}

func newBodyReader(max int64, budget *semaphore.Weighted, wait time.Duration) *bodyReader {
	return &bodyReader{max: max, budget: budget, wait: wait}
}

// body is the content of one request. Its data is valid until release.
type body struct {
	data     []byte
	reader   *bodyReader
	reserved int64
}

// release gives buffer and budget back.
func (b *body) release() {
	b.reader.budget.Release(b.reserved)
	if cap(b.data) <= pooledBuffer {
		empty := b.data[:0]
		b.reader.buffers.Put(&empty)
	}
	b.data, b.reserved = nil, 0
}

// read returns the request's body, decompressed. The caller releases it.
func (br *bodyReader) read(r *http.Request) (*body, error) {
	encoding := r.Header.Get("Content-Encoding")
	compressed := strings.EqualFold(encoding, "gzip")
	if !compressed && encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, errEncoding
	}
	if r.ContentLength > br.max {
		return nil, errBodyTooLarge
	}
	size := int64(firstBuffer)
	if r.ContentLength >= 0 && !compressed {
		size = r.ContentLength + 1 // room to see the end
	}
	b, err := br.open(r.Context(), size)
	if err != nil {
		return nil, err
	}
	if compressed {
		err = b.inflate(r.Body)
	} else {
		err = b.fill(r.Body)
	}
	if err != nil {
		b.release()
		return nil, err
	}
	return b, nil
}

// open reserves room for size bytes and takes a buffer. It may wait: nobody
// who holds room waits for more, so there is no deadlock.
func (br *bodyReader) open(ctx context.Context, size int64) (*body, error) {
	size = min(size, br.max)
	if !br.budget.TryAcquire(size) {
		ctx, cancel := context.WithTimeout(ctx, br.wait)
		defer cancel()
		if br.budget.Acquire(ctx, size) != nil {
			return nil, errNoRoom
		}
	}
	b := &body{reader: br, reserved: size}
	if pooled, ok := br.buffers.Get().(*[]byte); ok && int64(cap(*pooled)) >= size {
		b.data = (*pooled)[:0]
	} else {
		b.data = make([]byte, 0, size)
	}
	return b, nil
}

// fill reads src to its end.
func (b *body) fill(src io.Reader) error {
	for {
		if int64(len(b.data)) == b.reserved {
			if end, err := b.atEnd(src); end || err != nil {
				return err
			}
		}
		n, err := src.Read(b.data[len(b.data):b.reserved])
		b.data = b.data[:len(b.data)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read body: %w", err)
		}
	}
}

// atEnd is asked when all reserved room is full: it finds out whether there
// is more and, if so, makes room for it.
func (b *body) atEnd(src io.Reader) (bool, error) {
	var next [1]byte
	n, err := io.ReadFull(src, next[:])
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read body: %w", err)
	}
	if err := b.grow(); err != nil {
		return false, err
	}
	b.data = append(b.data, next[:n]...)
	return false, nil
}

// grow doubles the room. It does not wait for budget: waiting while holding
// some could lock all growing bodies against each other.
func (b *body) grow() error {
	more := min(b.reserved, b.reader.max-b.reserved)
	if more == 0 {
		return errBodyTooLarge
	}
	if !b.reader.budget.TryAcquire(more) {
		return errNoRoom
	}
	b.reserved += more
	if int64(cap(b.data)) < b.reserved {
		larger := make([]byte, len(b.data), b.reserved)
		copy(larger, b.data)
		b.data = larger
	}
	return nil
}

// inflate reads gzip-compressed src to its end.
func (b *body) inflate(src io.Reader) error {
	gz, ok := b.reader.gzips.Get().(*gzip.Reader)
	if !ok {
		gz = new(gzip.Reader)
	}
	defer b.reader.gzips.Put(gz)
	if err := gz.Reset(src); err != nil {
		return corrupt(err)
	}
	return corrupt(b.fill(gz))
}

// corrupt tells broken compression from a broken connection.
func corrupt(err error) error {
	if err == nil || errors.Is(err, errBodyTooLarge) || errors.Is(err, errNoRoom) {
		return err
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return errors.Join(errCorrupt, err)
}
