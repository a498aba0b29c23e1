package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// pageLimit is how many rows a page's list shows at a time.
const pageLimit = 50

// view is what a page's handler gives to its template.
type view struct {
	// Template is the file's name without its ending.
	Template string
	Title    string
	// Section is the part of the navigation that is marked.
	Section string
	Data    any
}

// frame is what the layout sees: the view, and what is on every page.
type frame struct {
	view
	Version string
	// User is the name that the browser sent with its token, to sign verbs.
	User string
}

// pages holds the parsed templates, one set for each page.
type pages struct {
	version string
	byName  map[string]*template.Template
}

// newPages parses the templates: each page with the layout and the parts.
func newPages(now func() time.Time, version string) (*pages, error) {
	base, err := template.New("layout.html").Funcs(helpers(now)).ParseFS(templateFiles, "templates/layout.html", "templates/part_*.html")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(templateFiles, "templates/page_*.html")
	if err != nil {
		return nil, err
	}
	p := &pages{version: version, byName: map[string]*template.Template{}}
	for _, file := range files {
		t, err := base.Clone()
		if err == nil {
			_, err = t.ParseFS(templateFiles, file)
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path.Base(file), "page_"), ".html")
		p.byName[name] = t
	}
	return p, nil
}

// render executes a page's templates into memory, so that a fault in them is
// an error and not half a page.
func (p *pages) render(v view, user string) ([]byte, error) {
	t, ok := p.byName[v.Template]
	if !ok {
		return nil, fmt.Errorf("no page is called %q", v.Template)
	}
	var b bytes.Buffer
	err := t.ExecuteTemplate(&b, "layout.html", frame{view: v, Version: p.version, User: user})
	return b.Bytes(), err
}

// pageRoutes mounts the pages, their verbs and their files.
func (s *server) pageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", s.show(s.homePage))
	s.handleRest(mux, http.MethodGet, "/assets/{asset}", "asset", s.show(s.assetPage))
	mux.HandleFunc("GET /events", s.show(s.eventsPage))
	s.handleRest(mux, http.MethodGet, "/events/{key}", "key", s.show(s.eventPage))
	mux.HandleFunc("GET /decisions", s.show(s.decisionsPage))
	mux.HandleFunc("GET /actions", s.show(s.actionsPage))
	mux.HandleFunc("GET /reviews", s.show(s.reviewsPage))
	mux.HandleFunc("GET /reviews/{id}", s.show(s.reviewPage))
	mux.HandleFunc("GET /silences", s.show(s.silencesPage))
	mux.HandleFunc("GET /trouble", s.show(s.troublePage))
	s.verbRoutes(mux)
	mux.Handle("GET /static/", staticFiles())
}

// show turns a page's handler into an http.HandlerFunc.
func (s *server) show(f func(*http.Request) (view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			s.refuse(w, r, s.asProblem(r.Context(), err))
			return
		}
		s.write(w, r, http.StatusOK, v)
	}
}

func (s *server) write(w http.ResponseWriter, r *http.Request, code int, v view) {
	user, _, _ := r.BasicAuth()
	body, err := s.pages.render(v, user)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(s.fault(r.Context(), err).Detail)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// errorPage shows a problem to a browser.
func (s *server) errorPage(w http.ResponseWriter, r *http.Request, p *huma.ErrorModel) {
	data := struct {
		Problem *huma.ErrorModel
		Request string
	}{p, requestID(r.Context())}
	s.write(w, r, p.Status, view{Template: "error", Title: p.Title, Data: data})
}

// staticFiles serves the embedded styles and scripts. Browsers ask each time
// and are told that nothing changed.
func staticFiles() http.Handler {
	files, tags := http.FileServerFS(assetFiles), map[string]string{}
	_ = fs.WalkDir(assetFiles, "assets", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, _ := assetFiles.ReadFile(name)
			sum := sha256.Sum256(b)
			tags[strings.TrimPrefix(name, "assets/")] = `"` + hex.EncodeToString(sum[:8]) + `"`
		}
		return err
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/static/")
		tag, ok := tags[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "private, no-cache")
		r.URL.Path = "/assets/" + name
		files.ServeHTTP(w, r)
	})
}

// paging reads a page's place in its list.
func paging(r *http.Request) Paging {
	return Paging{Limit: pageLimit, Cursor: r.URL.Query().Get("cursor")}
}

// older is the address of the list's next page, "" at the end.
func older(r *http.Request, next string) string {
	if next == "" {
		return ""
	}
	q := r.URL.Query()
	q.Set("cursor", next)
	return r.URL.Path + "?" + q.Encode()
}

// listing is a page's list with its filters and its way on.
type listing[T any] struct {
	Items []T
	Older string
	// Filter are the query's values, to fill in the form again.
	Filter map[string]string
	// Filtered says that the list may be empty because of a filter.
	Filtered bool
}

func newListing[T any](r *http.Request, l List[T]) listing[T] {
	out := listing[T]{Items: l.Items, Older: older(r, l.NextCursor), Filter: map[string]string{}}
	for name := range r.URL.Query() {
		if v := r.URL.Query().Get(name); v != "" && name != "cursor" {
			out.Filter[name], out.Filtered = v, true
		}
	}
	return out
}
