package sandbox

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// armRoutes are the resources of the workspace. Names of collections are in
// lower case here: ARM ids compare without case, so serveARM folds them.
func (w *Workspace) armRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jobs", w.listJobs)
	mux.HandleFunc("GET /jobs/{name}", w.getJob)
	mux.HandleFunc("PUT /jobs/{name}", w.putJob)
	mux.HandleFunc("POST /jobs/{name}/cancel", w.cancelJob)
	mux.HandleFunc("GET /{$}", w.getWorkspace)
	mux.HandleFunc("GET /models", w.listModels)
	mux.HandleFunc("PUT /models/{name}/versions/{version}", w.putModelVersion)
	mux.HandleFunc("GET /models/{name}/versions", w.listModelVersions)
	mux.HandleFunc("GET /models/{name}/versions/{version}", w.getModelVersion)
	mux.HandleFunc("GET /batchendpoints/{name}", w.getBatchEndpoint)
	mux.HandleFunc("GET /data/{name}", w.getDataContainer)
	mux.HandleFunc("GET /data/{name}/versions", w.listDataVersions)
	mux.HandleFunc("GET /data/{name}/versions/{version}", w.getDataVersion)
	mux.HandleFunc("GET /onlineendpoints", w.listEndpoints)
	mux.HandleFunc("GET /onlineendpoints/{name}", w.getEndpoint)
	mux.HandleFunc("PUT /onlineendpoints/{name}", w.putEndpoint)
	mux.HandleFunc("GET /onlineendpoints/{name}/deployments", w.listDeployments)
	mux.HandleFunc("GET /onlineendpoints/{name}/deployments/{deployment}", w.getDeployment)
	mux.HandleFunc("GET /schedules", w.listSchedules)
	mux.HandleFunc("GET /schedules/{name}", w.getSchedule)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		armError(rw, http.StatusNotFound, "InvalidResourceType", "The sandbox does not serve "+r.Method+" "+r.URL.Path+".")
	})
	return mux
}

// serveARM checks what all ARM requests have in common and hands the rest of
// the path on.
func (w *Workspace) serveARM(routes http.Handler, rw http.ResponseWriter, r *http.Request) {
	rest, ok := w.insideWorkspace(r.URL.Path)
	if !ok {
		armError(rw, http.StatusNotFound, "ResourceNotFound", "The Resource '"+r.URL.Path+"' was not found: this server is "+w.ID()+".")
		return
	}
	if r.URL.Query().Get("api-version") == "" {
		armError(rw, http.StatusBadRequest, "MissingApiVersionParameter",
			"The api-version query parameter (?api-version=) is required for all requests.")
		return
	}
	routes.ServeHTTP(rw, withPath(r, rest))
}

// insideWorkspace cuts the workspace's id off a path and folds the case of
// the collections' names, every other segment of what is left.
func (w *Workspace) insideWorkspace(path string) (string, bool) {
	id := w.ID()
	switch {
	case strings.EqualFold(path, id):
		return "/", true
	case len(path) <= len(id) || !strings.EqualFold(path[:len(id)], id) || path[len(id)] != '/':
		return "", false
	}
	segments := strings.Split(path[len(id)+1:], "/")
	for i := 0; i < len(segments); i += 2 {
		segments[i] = strings.ToLower(segments[i])
	}
	return "/" + strings.Join(segments, "/"), true
}

// armError answers in ARM's error shape.
func armError(rw http.ResponseWriter, status int, code, message string) {
	rw.Header().Set("x-ms-error-code", code)
	writeAnswer(rw, status, object{"error": object{"code": code, "message": message}})
}

// armFailure answers with what a scripting method's error means to ARM.
func armFailure(rw http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrState):
		status = http.StatusConflict
	case errors.Is(err, ErrFull):
		status = http.StatusTooManyRequests
		rw.Header().Set("Retry-After", "60")
	}
	armError(rw, status, armCode(status), err.Error())
}

// armCode is ARM's usual code for a status.
func armCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "UserError"
	case http.StatusForbidden:
		return "AuthorizationFailed"
	case http.StatusNotFound:
		return "ResourceNotFound"
	case http.StatusConflict:
		return "Conflict"
	case http.StatusTooManyRequests:
		return "TooManyRequests"
	case http.StatusServiceUnavailable:
		return "ServiceUnavailable"
	}
	return strings.ReplaceAll(http.StatusText(status), " ", "")
}

// resource is an ARM resource of this workspace.
func (w *Workspace) resource(path, kind string, created time.Time, properties object) object {
	return object{
		"id":         w.ID() + path,
		"name":       path[strings.LastIndexByte(path, '/')+1:],
		"type":       "Microsoft.MachineLearningServices/workspaces/" + kind,
		"properties": properties,
		"systemData": object{
			"createdAt": created.Format(timeLayout), "createdBy": "sandbox", "createdByType": "Application",
			"lastModifiedAt": created.Format(timeLayout),
		},
	}
}

// writeList answers with a page of count items that item renders. The link to
// the next page repeats the request with $skip set, as Azure ML's does.
func (w *Workspace) writeList(rw http.ResponseWriter, r *http.Request, count int, item func(i int) object) {
	query := r.URL.Query()
	from, to, next, err := page(count, w.opts.PageSize, query.Get("$skip"))
	if err != nil {
		armError(rw, http.StatusBadRequest, "UserError", err.Error())
		return
	}
	value := make([]object, 0, to-from)
	for i := from; i < to; i++ {
		value = append(value, item(i))
	}
	list := object{"value": value}
	if next != "" {
		query.Set("$skip", next)
		list["nextLink"] = w.absolute(r, query)
	}
	writeAnswer(rw, http.StatusOK, list)
}

// absolute is the request's own address under another query. Clients refuse
// to send a token from https to http, so the scheme is the request's.
func (w *Workspace) absolute(r *http.Request, query url.Values) string {
	return w.base(r) + w.ID() + r.URL.EscapedPath() + "?" + query.Encode()
}

// base is where this server is reached: as configured, else as the request
// reached it.
func (w *Workspace) base(r *http.Request) string {
	switch {
	case w.opts.PublicURL != "":
		return w.opts.PublicURL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
