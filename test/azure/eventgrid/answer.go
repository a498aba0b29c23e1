package eventgrid

import (
	"errors"
	"io"
	"net/http"
	"strconv"
)

// maxRequest bounds one publish request, and one event, in bytes
// ("Azure Event Grid quotas and limits": 1 MB).
const maxRequest = 1 << 20

// failure is an answer of the service other than success.
type failure struct {
	status        int
	code, message string
}

// writeError answers as the service does: an object with one member, error.
func writeError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{
		"code": code, "message": message, "details": []any{map[string]string{"code": code, "message": message}},
	}})
}

func (f *failure) write(w http.ResponseWriter) { writeError(w, f.status, f.code, f.message) }

func badRequest(message string) *failure {
	return &failure{http.StatusBadRequest, "BadRequest", message}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text := encode(v)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that is gone does not change what was done
}

// readBody reads a request of at most maxRequest bytes.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *failure) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &failure{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The maximum size (1048576) has been exceeded."}
	case err != nil:
		return nil, badRequest("The body could not be read.")
	}
	return body, nil
}
