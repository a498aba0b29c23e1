package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/review"
)

// Paging is what every list takes.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"At most this many items"`
	Cursor string `query:"cursor" maxLength:"2000" doc:"The nextCursor of the page before, unchanged, with the same filters"`
}

// Window bounds a list in time.
type Window struct {
	Since string `query:"since" maxLength:"64" doc:"Not before: an RFC 3339 time, a date, or an age such as 6h or 2d" example:"2026-11-02T09:00:00Z"`
	Until string `query:"until" maxLength:"64" doc:"Before: an RFC 3339 time, a date, or an age such as 6h or 2d"`
}

// List is a page of a list.
type List[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"nextCursor,omitempty" doc:"Absent at the end"`
}

// page makes a List; next is the resource's own cursor.
func page[T any](items []T, next string) List[T] {
	if items == nil {
		items = []T{}
	}
	return List[T]{Items: items, NextCursor: sealCursor(next)}
}

// sealCursor makes a cursor opaque and safe in a URL and a shell.
func sealCursor(c string) string { return base64.RawURLEncoding.EncodeToString([]byte(c)) }

func openCursor(c string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil {
		return "", badInput("query.cursor", c, "%s", lineage.ErrBadCursor.Error())
	}
	return string(b), nil
}

// span reads a Window.
func (s *server) span(w Window) (lineage.Span, error) {
	since, err := s.instant("since", w.Since)
	if err != nil {
		return lineage.Span{}, err
	}
	until, err := s.instant("until", w.Until)
	if err != nil {
		return lineage.Span{}, err
	}
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return lineage.Span{}, badInput("query.until", w.Until, "until must be later than since")
	}
	return lineage.Span{Since: since, Until: until}, nil
}

// instant reads a moment: absolute, a day, or so long ago; "" is none.
func (s *server) instant(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if d, err := policy.ParseDuration(text); err == nil && d >= 0 {
		return s.Now().UTC().Add(-time.Duration(d)), nil
	}
	return time.Time{}, badInput("query."+name, text,
		"%s %q is not a time: write 2026-11-02T09:00:00Z, 2026-11-02, or an age such as 6h or 2d", name, text)
}

// within reports whether a moment lies in the span.
func within(s lineage.Span, at time.Time) bool {
	return (s.Since.IsZero() || !at.Before(s.Since)) && (s.Until.IsZero() || at.Before(s.Until))
}

// assetParam reads an asset id from a request; where is its location.
func assetParam(where, text string) (lineage.ID, error) {
	if text == "" {
		return "", nil
	}
	id, err := lineage.ParseID(text)
	if err != nil {
		return "", badInput(where, text, "%s", err.Error())
	}
	return id, nil
}

const apiDescription = "Lineage, decisions, actions and reviews of the models that Modelwarden watches. " +
	"Asset ids are `kind/workspace/name[/version]`; ids of events and actions end in `@` and the id of an asset. " +
	"In a path an id stands either exactly as it is printed, slashes and escapes included, " +
	"or percent-escaped as a whole, as one segment: `/api/v1/assets/model/contoso-ml/churn/7` and " +
	"`/api/v1/assets/model%2Fcontoso-ml%2Fchurn%2F7` are the same. " +
	"Lists answer `items` and `nextCursor`; errors are RFC 9457 problems."

// apiRoutes mounts every route of the API and its document.
func (s *server) apiRoutes(mux *http.ServeMux) error {
	a := huma.NewAPI(s.apiConfig(), adapter{mux, s})
	s.modelRoutes(a)
	s.assetRoutes(a)
	s.lineageRoutes(a)
	s.eventRoutes(a)
	s.decisionRoutes(a)
	s.actionRoutes(a)
	s.reviewRoutes(a)
	s.cardRoutes(a)
	s.orderRoutes(a)
	s.silenceRoutes(a)
	s.quarantineRoutes(a)
	s.deadRoutes(a)
	s.backfillRoutes(a)
	s.statusRoutes(a)
	s.policyRoutes(a)
	s.plainRoutes(mux, a.OpenAPI())
	document, err := json.Marshal(a.OpenAPI())
	if err != nil {
		return fmt.Errorf("OpenAPI document: %w", err)
	}
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(document))
	})
	return nil
}

func (s *server) apiConfig() huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	text := reflect.TypeFor[string]()
	schemas.RegisterTypeAlias(reflect.TypeFor[policy.Duration](), text)
	schemas.RegisterTypeAlias(reflect.TypeFor[review.Interval](), text)
	c := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "Modelwarden", Version: s.Version, Description: apiDescription},
			Components: &huma.Components{Schemas: schemas},
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{finishProblem},
	}
	if !s.guard.open() {
		c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
			"bearer": {Type: "http", Scheme: "bearer", Description: "An API token"},
			"basic":  {Type: "http", Scheme: "basic", Description: "Any user name; the password is an API token"},
		}
		c.Security = []map[string][]string{{"bearer": {}}, {"basic": {}}}
	}
	return c
}
