package web

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

type pages struct{}

func newPages(func() time.Time, string) (*pages, error) { return &pages{}, nil }
func (s *server) pageRoutes(*http.ServeMux)             {}
func (s *server) errorPage(w http.ResponseWriter, _ *http.Request, p *huma.ErrorModel) {
	http.Error(w, p.Detail, p.Status)
}
