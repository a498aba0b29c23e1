package cosmos

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// failure is an error of the service: status, code and message of its body.
type failure struct {
	status    int
	substatus int
	code      string
	message   string
	retry     time.Duration
	charge    float64
}

// codes are the names that the service gives to statuses.
var codes = map[int]string{
	http.StatusBadRequest:            "BadRequest",
	http.StatusUnauthorized:          "Unauthorized",
	http.StatusForbidden:             "Forbidden",
	http.StatusNotFound:              "NotFound",
	http.StatusMethodNotAllowed:      "MethodNotAllowed",
	http.StatusRequestTimeout:        "RequestTimeout",
	http.StatusConflict:              "Conflict",
	http.StatusGone:                  "Gone",
	http.StatusPreconditionFailed:    "PreconditionFailed",
	http.StatusRequestEntityTooLarge: "RequestEntityTooLarge",
	http.StatusTooManyRequests:       "429",
	449:                              "449",
	http.StatusInternalServerError:   "InternalServerError",
	http.StatusServiceUnavailable:    "ServiceUnavailable",
}

// failed makes a failure; an empty code is the usual one of the status.
func failed(status int, code, message string) *failure {
	if code == "" {
		code = codes[status]
	}
	return &failure{status: status, code: code, message: message}
}

func badRequest(format string, args ...any) *failure {
	return failed(http.StatusBadRequest, "", fmt.Sprintf(format, args...))
}

// notFound, conflict, preconditionFailed and tooLarge are what writes and
// reads of items run into.
func notFound() *failure {
	return failed(http.StatusNotFound, "", "Entity with the specified id does not exist in the system.")
}

func conflict() *failure {
	return failed(http.StatusConflict, "", "Entity with the specified id already exists in the system.")
}

func preconditionFailed() *failure {
	return failed(http.StatusPreconditionFailed, "", "Operation cannot be performed because one of the specified precondition is not met.")
}

func tooLarge() *failure {
	return failed(http.StatusRequestEntityTooLarge, "", "Request size is too large")
}

func (f *failure) Error() string { return strconv.Itoa(f.status) + " " + f.code + ": " + f.message }

func (f *failure) answer() *answer {
	a := newAnswer(f.status, marshal(map[string]any{"code": f.code, "message": f.message}), f.charge)
	if f.substatus != 0 {
		a.header.Set("x-ms-substatus", strconv.Itoa(f.substatus))
	}
	if f.retry > 0 {
		a.header.Set("x-ms-retry-after-ms", strconv.FormatInt(f.retry.Milliseconds(), 10))
	}
	return a
}
