package servicebus_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/modelwarden/modelwarden/test/azure/clock"
	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

func TestTLS(t *testing.T) {
	cert, roots := certificate(t)
	s := servicebus.New(queue(servicebus.Queue{}))
	defer s.Close()
	if err := s.StartTLS("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}}); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(s.ConnectionString(), ";UseDevelopmentEmulator=true", "", 1)
	c, err := azservicebus.NewClientFromConnectionString(text, &azservicebus.ClientOptions{TLSConfig: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	defer func() { _ = c.Close(ctx) }()
	d := &desk{t, s, c, ctx}
	d.send("secret")
	d.same("received", bodies(d.take(d.receiver(), 1)), []string{"secret"})
}

// certificate is good for 127.0.0.1 and signed by itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestCloseEndsEverything(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		_, err := d.sender().ScheduleMessages(d.ctx, []*azservicebus.Message{{}}, time.Now().Add(time.Hour), nil)
		d.must(err)
		waiting := make(chan error)
		r := d.receiver()
		go func() {
			_, err := r.ReceiveMessages(d.ctx, 1, nil)
			waiting <- err
		}()
		half := d.s.Pipe() // says nothing
		time.Sleep(time.Second)
		d.s.Close()
		d.s.Close()
		<-waiting
		if _, err := half.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a silent connection: %v", err)
		}
		if _, err := d.s.Pipe().Read(make([]byte, 1)); err == nil {
			t.Error("a connection after Close")
		}
		if err := d.s.Start("127.0.0.1:0"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("start after Close: %v", err)
		}
		time.Sleep(2 * time.Hour)
		d.counts(servicebus.Counts{Scheduled: 1}) // its timer was stopped
	})
}

// countingClock counts the calls that are still to come.
type countingClock struct {
	clock.Real
	pending atomic.Int64
}

func (c *countingClock) AfterFunc(d time.Duration, f func()) func() {
	c.pending.Add(1)
	var once sync.Once
	done := func() { once.Do(func() { c.pending.Add(-1) }) }
	stop := c.Real.AfterFunc(d, func() {
		done()
		f()
	})
	return func() {
		stop()
		done()
	}
}

func TestCloseStopsTimers(t *testing.T) {
	counting := new(countingClock)
	o := queue(servicebus.Queue{DefaultTTL: time.Hour})
	o.Clock = counting
	within(t, o, func(d *desk) {
		_, err := d.sender().ScheduleMessages(d.ctx, []*azservicebus.Message{{}}, time.Now().Add(time.Hour), nil)
		d.must(err)
		d.send("a")
		d.take(d.receiver(), 1)
		if n := counting.pending.Load(); n < 3 {
			t.Errorf("%d timers wait before Close", n)
		}
		d.s.Close()
		if n := counting.pending.Load(); n != 0 {
			t.Errorf("%d timers wait after Close", n)
		}
	})
}

func TestStartOnABusyPort(t *testing.T) {
	a, b := servicebus.New(servicebus.Options{}), servicebus.New(servicebus.Options{})
	defer a.Close()
	defer b.Close()
	if err := a.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(a.Addr()); err == nil {
		t.Error("two servers on one port")
	}
	if err := b.StartTLS(a.Addr(), &tls.Config{}); err == nil {
		t.Error("TLS on a busy port")
	}
}

func TestConnectionString(t *testing.T) {
	s := servicebus.New(servicebus.Options{Keys: map[string]servicebus.Key{
		"a": {Key: "1", Rights: servicebus.Send}, "c": {Key: "3", Rights: servicebus.All}, "b": {Key: "2", Rights: servicebus.All},
	}})
	defer s.Close()
	if got := s.ConnectionString(); got != "Endpoint=sb://localhost;SharedAccessKeyName=b;SharedAccessKey=2;UseDevelopmentEmulator=true" {
		t.Error(got)
	}
}

// Hard work over TCP: for the race detector.
func TestManyClients(t *testing.T) {
	const workers, each = 8, 100
	s := servicebus.New(queue(servicebus.Queue{}))
	defer s.Close()
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	done := make(chan struct{})
	for w := range workers {
		c, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), nil)
		if err != nil {
			t.Fatal(err)
		}
		d := &desk{t, s, c, ctx}
		send, receive := d.sender(), d.receiver()
		all.Go(func() {
			for i := range each {
				id := string(rune('a'+w)) + string(rune(' '+i))
				if err := send.SendMessage(ctx, &azservicebus.Message{MessageID: &id}, nil); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			defer func() { _ = c.Close(ctx) }()
			for {
				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				got, _ := receive.ReceiveMessages(short, 10, nil)
				cancel()
				for _, m := range got {
					if err := receive.CompleteMessage(ctx, m, nil); err != nil {
						t.Error(err)
					}
					mu.Lock()
					seen[m.MessageID]++
					if len(seen) == workers*each {
						close(done)
					}
					mu.Unlock()
				}
				select {
				case <-done:
					return
				case <-ctx.Done():
					return
				default:
				}
			}
		})
	}
	all.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%q came %d times", id, n)
		}
	}
	if len(seen) != workers*each {
		t.Errorf("%d of %d messages came", len(seen), workers*each)
	}
}

func TestPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := servicebus.New(servicebus.Options{})
		defer s.Close()
		c := s.Pipe()
		if c.LocalAddr().Network() != "pipe" || c.RemoteAddr().String() != "pipe" {
			t.Error("addresses")
		}
		// Deadlines pass, now and later, and can be lifted.
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		start := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		_ = c.SetDeadline(time.Now().Add(-1))
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
		_ = c.SetWriteDeadline(time.Time{})
		_ = c.SetReadDeadline(time.Time{})
		if _, err := c.Write([]byte("AMQP\x00\x01\x00\x00")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 8)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, []byte("AMQP\x00\x01\x00\x00")) {
			t.Errorf("%q, %v", got, err)
		}
		_ = c.Close()
		if _, err := c.Read(got); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		if _, err := c.Write(got); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
	})
}
