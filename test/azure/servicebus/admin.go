package servicebus

import (
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Admin serves the part of the management interface that knows queues (ATOM,
// Microsoft's "Service Bus entity management with REST"): GET, PUT and DELETE
// of /{queue} and the list at /$Resources/Queues. Requests need a token with
// the right Manage in the Authorization header; its resource must cover the
// path, while its host is not compared, since clients insist on https and come
// here by a transport of the test's.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /$Resources/Queues", s.managed(s.listQueues))
	mux.HandleFunc("GET /{queue...}", s.managed(s.getQueue))
	mux.HandleFunc("PUT /{queue...}", s.managed(s.putQueue))
	mux.HandleFunc("DELETE /{queue...}", s.managed(s.deleteQueue))
	return mux
}

// managed checks the token and the version that every request names.
func (s *Server) managed(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.mayManage(r):
			writeError(w, http.StatusUnauthorized, "Manage,EntityRead claims required for this operation.")
		case r.URL.Query().Get("api-version") == "":
			writeError(w, http.StatusBadRequest, "The api-version is missing.")
		default:
			h(w, r)
		}
	}
}

// mayManage checks the Authorization header: a shared access signature or, with
// or without "Bearer", an Entra token.
func (s *Server) mayManage(r *http.Request) bool {
	token := r.Header.Get("Authorization")
	if isSAS(token) {
		rights, _, refused := s.verifySAS(token, strings.Trim(r.URL.Path, "/"))
		return refused == nil && rights.Has(Manage)
	}
	if s.o.Token == nil {
		return false
	}
	rights, err := s.o.Token(strings.TrimPrefix(token, "Bearer "))
	return err == nil && rights.Has(Manage)
}

func (s *Server) getQueue(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[fold(r.PathValue("queue"))]
	if q == nil {
		// Not 404: Azure answers with a list that has nothing in it.
		writeXML(w, http.StatusOK, atomFeed{Title: "Publicly Listed Services", XMLNS: atomSpace})
		return
	}
	writeXML(w, http.StatusOK, q.atom(r.Host))
}

func (s *Server) putQueue(w http.ResponseWriter, r *http.Request) {
	o, err := readQueue(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("queue")
	q := s.queues[fold(name)]
	update := r.Header.Get("If-Match") != ""
	switch {
	case q != nil && !update:
		writeError(w, http.StatusConflict, "SubCode=40900. Conflict. The queue exists already.")
	case q == nil && update:
		writeError(w, http.StatusNotFound, "SubCode=40400. The queue does not exist.")
	case q == nil:
		q = newQueue(s, name, o)
		s.queues[fold(name)] = q
		writeXML(w, http.StatusCreated, q.atom(r.Host))
	default:
		q.o, q.dead.o = o.withDefaults(), o.withDefaults()
		writeXML(w, http.StatusOK, q.atom(r.Host))
	}
}

func (s *Server) deleteQueue(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fold(r.PathValue("queue"))
	q := s.queues[name]
	if q == nil {
		writeError(w, http.StatusNotFound, "SubCode=40400. The queue does not exist.")
		return
	}
	delete(s.queues, name)
	for c := range s.conns {
		c.detachFrom(q)
	}
	for _, e := range append(q.sorted(0), q.dead.sorted(0)...) {
		e.stop()
	}
}

// detachFrom ends the links to a queue that is no more.
func (c *conn) detachFrom(q *queue) {
	for _, session := range c.sessions {
		for _, l := range session.links {
			if at := l.node().queue; at == q || at == q.dead {
				l.detach(newError(condNotFound, "The messaging entity '"+q.path+"' could not be found."))
			}
		}
	}
}

// listQueues pages through the queues by $skip and $top.
func (s *Server) listQueues(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.queues {
		names = append(names, name)
	}
	slices.Sort(names)
	skip, _ := strconv.Atoi(r.URL.Query().Get("$skip"))
	top, err := strconv.Atoi(r.URL.Query().Get("$top"))
	if err != nil || top <= 0 || top > 100 {
		top = 100
	}
	names = names[min(max(skip, 0), len(names)):]
	feed := atomFeed{Title: "Queues", XMLNS: atomSpace}
	for _, name := range names[:min(top, len(names))] {
		feed.Entries = append(feed.Entries, s.queues[name].atom(r.Host))
	}
	writeXML(w, http.StatusOK, feed)
}

func writeXML(w http.ResponseWriter, status int, v any) {
	body, err := xml.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/atom+xml;type=entry;charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func writeError(w http.ResponseWriter, status int, detail string) {
	writeXML(w, status, atomError{Code: status, Detail: detail})
}
