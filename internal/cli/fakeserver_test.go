package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// fakeServer gives canned answers, which a script holds in a file api.http:
//
//	### GET /api/v1/models?limit=50
//	{"items": []}
//	### POST /events | 503 | Retry-After: 0
//	{"detail": "later"}
//
// Answers of the same request follow each other; the last one stays. Every
// request is noted in the file `requests`, with the headers that matter and
// the body.
type fakeServer struct {
	mu      sync.Mutex
	answers map[string][]canned
	log     string
}

type canned struct {
	status int
	header http.Header
	body   string
}

func startFakeServer(dir string) (*httptest.Server, error) {
	s := &fakeServer{answers: map[string][]canned{}, log: filepath.Join(dir, "requests")}
	text, err := os.ReadFile(filepath.Join(dir, "api.http"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for i, block := range strings.Split("\n"+string(text), "\n### ") {
		if i == 0 {
			continue
		}
		if err := s.add(block); err != nil {
			return nil, err
		}
	}
	return httptest.NewServer(s), nil
}

func (s *fakeServer) add(block string) error {
	head, body, _ := strings.Cut(block, "\n")
	parts := strings.Split(head, " | ")
	a := canned{status: http.StatusOK, header: http.Header{}, body: strings.TrimSpace(body)}
	for _, p := range parts[1:] {
		if name, value, ok := strings.Cut(p, ": "); ok {
			a.header.Set(name, value)
			continue
		}
		status, err := strconv.Atoi(p)
		if err != nil {
			return fmt.Errorf("api.http: %q: want a status or a header", p)
		}
		a.status = status
	}
	s.answers[parts[0]] = append(s.answers[parts[0]], a)
	return nil
}

// noted are the headers that scripts check.
var noted = []string{"Authorization", "X-Modelwarden-Secret", "Content-Type", "Aeg-Event-Type"}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a := s.take(r, body)
	if a.header.Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (s *fakeServer) take(r *http.Request, body []byte) canned {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Method + " " + r.URL.RequestURI()
	s.note(key, r.Header, string(body))
	all := s.answers[key]
	if len(all) == 0 {
		return canned{status: 404, body: `{"detail":"the script has no answer to ` + key + `"}`}
	}
	if len(all) > 1 {
		s.answers[key] = all[1:]
	}
	return all[0]
}

func (s *fakeServer) note(key string, header http.Header, body string) {
	line := key + "\n"
	for _, name := range noted {
		if v := header.Get(name); v != "" {
			line += "  " + name + ": " + v + "\n"
		}
	}
	if body = strings.TrimSpace(body); len(body) > 400 {
		body = fmt.Sprintf("%d bytes", len(body))
	}
	if body != "" {
		line += "  " + strings.ReplaceAll(body, "\n", "\n  ") + "\n"
	}
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(line)
		err = firstOf(err, f.Close())
	}
	if err != nil {
		panic(err) // a script would check a log with holes
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
