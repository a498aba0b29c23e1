package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// restParam is the metadata key of an operation whose path parameter spans
// several segments: the ids of assets, events and actions contain slashes.
// OpenAPI knows no such parameter, so the document shows a plain one.
const restParam = "restParam"

// adapter mounts huma's operations on a ServeMux.
type adapter struct {
	*http.ServeMux
	s *server
}

// Handle implements huma.Adapter.
func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	serve := func(w http.ResponseWriter, r *http.Request) {
		handler(requestContext{humago.NewContext(op, r, w)})
	}
	name, spans := op.Metadata[restParam].(string)
	if !spans {
		a.HandleFunc(op.Method+" "+op.Path, serve)
		return
	}
	a.s.handleRest(a.ServeMux, op.Method, op.Path, name, serve)
}

// handleRest mounts a path like /actions/{id}/retry whose parameter may hold
// slashes. The ids are path-escaped text themselves, so the parameter is what
// stands in the request, not decoded: `model/ws/a%2Fb/1` stays one name.
func (s *server) handleRest(mux *http.ServeMux, method, path, name string, serve http.HandlerFunc) {
	prefix, suffix, _ := strings.Cut(path, "{"+name+"}")
	mux.HandleFunc(method+" "+prefix+"{"+name+"...}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := strings.CutSuffix(restOf(r, prefix, name), suffix)
		if !ok || id == "" {
			s.refuse(w, r, problem(http.StatusNotFound, "there is nothing at %s: want %s", r.URL.Path, path))
			return
		}
		r.SetPathValue(name, wholeID(id))
		serve(w, r)
	})
}

func restOf(r *http.Request, prefix, name string) string {
	if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), prefix); ok {
		return rest
	}
	return r.PathValue(name)
}

// wholeID accepts an id as it is printed, and one that a client escaped once
// more as a single path segment.
func wholeID(raw string) string {
	if !strings.Contains(raw, "/") {
		if plain, err := url.PathUnescape(raw); err == nil {
			return plain
		}
	}
	if head, _, _ := strings.Cut(raw, "/"); !strings.Contains(head, "@") {
		return strings.Replace(head, "%40", "@", 1) + raw[len(head):]
	}
	return raw
}

// requestContext answers 400 where huma says 422: one status for whatever is
// wrong with a request.
type requestContext struct{ humaContext }

// humaContext renames huma.Context, whose own name is that of its method.
type humaContext = huma.Context

// SetStatus implements huma.Context.
func (c requestContext) SetStatus(code int) { c.humaContext.SetStatus(statusFor(code)) }

// Unwrap lets humago find its own context.
func (c requestContext) Unwrap() huma.Context { return c.humaContext }

func statusFor(code int) int {
	if code == http.StatusUnprocessableEntity {
		return http.StatusBadRequest
	}
	return code
}

// finishProblem completes the problems that huma words itself.
func finishProblem(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if status := statusFor(p.Status); status != p.Status {
		p.Status, p.Title = status, http.StatusText(status)
		p.Detail = firstMistake(ctx.Operation(), p)
	}
	p.Instance = instance(ctx.Context())
	return p, nil
}

// firstMistake makes a sentence of huma's list, for those who read no further.
func firstMistake(op *huma.Operation, p *huma.ErrorModel) string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	first := p.Errors[0]
	if first.Message == "unknown query parameter" {
		first.Message = "unknown query parameter: " + parameters(op)
	}
	return first.Location + ": " + first.Message
}

// parameters lists what an operation's query may hold.
func parameters(op *huma.Operation) string {
	var names []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "this route takes none"
	}
	slices.Sort(names)
	return "want " + strings.Join(names, ", ")
}

// register mounts one operation and keeps the texts of faults inside.
func register[I, O any](a huma.API, s *server, op huma.Operation, h func(context.Context, *I) (O, error)) {
	type answer struct{ Body O }
	huma.Register(a, op, func(ctx context.Context, in *I) (*answer, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.asAnswer(ctx, err)
		}
		return &answer{Body: out}, nil
	})
}

// asAnswer is asProblem for huma, with the header that a 503 carries.
func (s *server) asAnswer(ctx context.Context, err error) error {
	p := s.asProblem(ctx, err)
	if p.Status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {retryAfter}})
	}
	return p
}

// get describes a reading operation.
func get(id, path, tag, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{tag}, Summary: summary}
}

// post describes a verb; it answers 200 with what the verb changed.
func post(id, path, tag, summary string) huma.Operation {
	op := get(id, path, tag, summary)
	op.Method, op.DefaultStatus, op.MaxBodyBytes = http.MethodPost, http.StatusOK, maxBody
	return op
}

// spanning marks the path parameter that may hold slashes.
func spanning(op huma.Operation, name string) huma.Operation {
	op.Metadata = map[string]any{restParam: name}
	return op
}
