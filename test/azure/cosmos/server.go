package cosmos

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/modelwarden/modelwarden/test/azure/clock"
)

// DefaultKey is the master key of a server that was given none: the base64
// of "in-process cosmos db, not a secret".
const DefaultKey = "aW4tcHJvY2VzcyBjb3Ntb3MgZGIsIG5vdCBhIHNlY3JldA=="

// Options of a Server. The zero value is a server with DefaultKey, Strong
// consistency, no limit of throughput and no faults.
type Options struct {
	// Clock is what time to live, throughput and the age of signatures go by.
	// Defaults to clock.Real.
	Clock clock.Clock
	// Key is the base64 master key. Defaults to DefaultKey.
	Key string
	// Token checks an Entra token and says whether its principal may only
	// read. Without it every token is refused. An Entra principal may never
	// create, change or delete databases and containers, as in the service.
	Token func(jwt string) (readOnly bool, err error)
	// Consistency is the account's default: Strong, BoundedStaleness,
	// Session, ConsistentPrefix or Eventual. It shows in the account, in what
	// a read costs and in which x-ms-consistency-level is refused; reads
	// always see the newest write. Defaults to Strong.
	Consistency string
	// Throughput is what each container serves, in request units a second;
	// beyond it requests are answered 429. 0 is no limit.
	Throughput float64
	// Faults decides which requests go wrong. Defaults to none.
	Faults *Faults
}

// Server is an Azure Cosmos DB account in memory. It implements http.Handler
// and is safe for concurrent use.
type Server struct {
	options Options
	key     []byte

	mu        sync.Mutex // guards what follows, and all data below it
	databases map[string]*database
	ids       uint64 // source of resource ids and ETags
	stats     Stats
	http      *http.Server
	url       string
}

// New makes a server that is ready to handle requests. It panics if the key
// is not base64.
func New(o Options) *Server {
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Key == "" {
		o.Key = DefaultKey
	}
	if o.Consistency == "" {
		o.Consistency = "Strong"
	}
	if o.Faults == nil {
		o.Faults = &Faults{}
	}
	key, err := base64.StdEncoding.DecodeString(o.Key)
	if err != nil {
		panic(fmt.Sprintf("cosmos: the key is not base64: %v", err))
	}
	return &Server{options: o, key: key, databases: map[string]*database{}, stats: Stats{}}
}

// Key is the base64 master key.
func (s *Server) Key() string { return s.options.Key }

// Start listens on addr, which must be a loopback address such as
// "127.0.0.1:0", and serves plain HTTP until Close.
func (s *Server) Start(addr string) error {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return err
	}
	if !tcp.IP.IsLoopback() {
		return fmt.Errorf("cosmos: %s is not a loopback address", addr)
	}
	listener, err := net.ListenTCP("tcp", tcp)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	s.mu.Lock()
	s.http, s.url = server, "http://"+listener.Addr().String()+"/"
	s.mu.Unlock()
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("cosmos: serve: %v", err))
		}
	}()
	return nil
}

// URL is the account's endpoint after Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Close stops listening and cuts the connections. The data stays, so that a
// Start afterwards is the same account again.
func (s *Server) Close() error {
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	return server.Close()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := newCall(s, r)
	fault := s.options.Faults.next(c.op, r)
	s.delay(r, fault.Delay)
	if fault.instead() {
		s.answerFault(w, c, fault)
		return
	}
	c.fault = fault
	answer := s.answer(c)
	s.count(c.op, answer.charge)
	if fault.broken() {
		s.answerFault(w, c, fault)
		return
	}
	answer.write(w, c)
}

// answer performs a request.
func (s *Server) answer(c *call) *answer {
	a, err := s.perform(c)
	if err == nil {
		return a
	}
	var f *failure
	if !errors.As(err, &f) {
		f = failed(http.StatusInternalServerError, "InternalServerError", err.Error())
	}
	return f.answer()
}

func (s *Server) perform(c *call) (*answer, error) {
	if c.routeErr != nil {
		return nil, c.routeErr
	}
	if err := s.authorize(c); err != nil {
		return nil, err
	}
	if err := c.readBody(); err != nil {
		return nil, err
	}
	if err := s.checkConsistency(c); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.now = s.options.Clock.Now()
	if err := c.resolve(); err != nil {
		return nil, err
	}
	if err := c.throttle(); err != nil {
		return nil, err
	}
	a, err := handlers[c.op](c)
	c.spend(a, err)
	return a, err
}

// delay holds a request up.
func (s *Server) delay(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	done := make(chan struct{})
	stop := s.options.Clock.AfterFunc(d, func() { close(done) })
	defer stop()
	select {
	case <-done:
	case <-r.Context().Done():
	}
}

func (s *Server) answerFault(w http.ResponseWriter, c *call, f Fault) {
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	a := failed(f.Status, "", "an injected fault").answer()
	if f.Substatus != 0 {
		a.header.Set("x-ms-substatus", strconv.Itoa(f.Substatus))
	}
	if f.RetryAfter > 0 {
		a.header.Set("x-ms-retry-after-ms", strconv.FormatInt(f.RetryAfter.Milliseconds(), 10))
	}
	a.write(w, c)
}

// answer is what a request is answered, before it is written.
type answer struct {
	status int
	header http.Header
	body   []byte
	charge float64 // request units
}

func newAnswer(status int, body []byte, charge float64) *answer {
	return &answer{status: status, header: http.Header{}, body: body, charge: charge}
}

func (a *answer) write(w http.ResponseWriter, c *call) {
	h := w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	h.Set("x-ms-activity-id", c.activity())
	h.Set("x-ms-request-charge", strconv.FormatFloat(a.charge, 'f', 2, 64))
	h.Set("x-ms-version", "2018-12-31")
	h.Set("Server", "in-process Cosmos DB")
	if a.body != nil {
		h.Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.status)
	if c.Method != http.MethodHead {
		_, _ = w.Write(a.body) // whoever asked is gone if this fails
	}
}

// activity is the client's own id of the request, or a new one.
func (c *call) activity() string {
	if id := c.Header.Get("x-ms-activity-id"); id != "" {
		return id
	}
	return uuid.NewString()
}
