package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxRequestBody bounds what Handler reads of a request.
const maxRequestBody = 1 << 20

// Handler serves the workspace's HTTP side: the ARM resources under the
// workspace's id, with any api-version, MLflow tracking both at
// /mlflow/{version}/{workspace id}/api/2.0/mlflow/, as Azure has it, and at
// /api/2.0/mlflow/, as an open-source MLflow server has it, the details of a
// run in the run history, and batch endpoints at /batch/{name}/jobs.
func (w *Workspace) Handler() http.Handler {
	arm, mlflow, history := w.armRoutes(), w.mlflowRoutes(), w.historyRoutes()
	route := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(rw, r.Body, maxRequestBody)
		if rest, ok := cutMLflow(r.URL.Path); ok {
			mlflow.ServeHTTP(rw, withPath(r, rest))
			return
		}
		if rest, ok := w.cutHistory(r.URL.Path); ok {
			history.ServeHTTP(rw, withPath(r, rest))
			return
		}
		if strings.HasPrefix(r.URL.Path, "/batch/") {
			w.invokeBatch(rw, r)
			return
		}
		w.serveARM(arm, rw, r)
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("x-ms-request-id", stableUUID(w.opts.Seed, r.URL.String()))
		if !w.authorised(r) {
			rw.Header().Set("WWW-Authenticate", "Bearer")
			armError(rw, http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is missing or invalid.")
			return
		}
		next := buffered(route)
		if f, ok := w.faults.take(r.Method, r.URL.Path); ok {
			f.apply(next, rw, r)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// buffered sends an answer only when it is complete, so that a client which
// reads slowly never holds the workspace's lock.
func buffered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a := &answer{header: rw.Header()}
		next.ServeHTTP(a, r)
		rw.WriteHeader(orElse(a.status, http.StatusOK))
		_, _ = rw.Write(a.body.Bytes()) // a client that left needs no answer
	})
}

// authorised compares digests, so that the time it takes tells nothing.
func (w *Workspace) authorised(r *http.Request) bool {
	if w.opts.Token == "" {
		return true
	}
	got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	want := sha256.Sum256([]byte("Bearer " + w.opts.Token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// withPath is the request under another path.
func withPath(r *http.Request, path string) *http.Request {
	r2 := new(http.Request)
	*r2 = *r
	r2.URL = new(url.URL)
	*r2.URL = *r.URL
	r2.URL.Path, r2.URL.RawPath = path, ""
	return r2
}

// cutMLflow finds the part of a path that MLflow knows.
func cutMLflow(path string) (rest string, ok bool) {
	const api = "/api/2.0/mlflow/"
	if !strings.HasPrefix(path, "/mlflow/") && !strings.HasPrefix(path, api) {
		return "", false
	}
	_, rest, ok = strings.Cut(path, api)
	return "/" + rest, ok
}

// object is a JSON object to answer with.
type object = map[string]any

func writeAnswer(rw http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	writeJSON(&b, v)
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	_, _ = rw.Write(b.Bytes()) // a client that left needs no answer
}

// page cuts a page of a listing of total items at offset token.
func page(total, size int, token string) (from, to int, next string, err error) {
	if token != "" {
		from, err = strconv.Atoi(token)
		if err != nil || from < 0 {
			return 0, 0, "", fmt.Errorf("the page token %q is not one that this server gave out", token)
		}
	}
	from = min(from, total)
	to = min(from+size, total)
	if to < total {
		next = strconv.Itoa(to)
	}
	return from, to, next, nil
}
