package cosmos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// answered is what the SDK makes of a failed answer.
func answered(status int, headers ...string) error {
	resp := &http.Response{
		StatusCode: status, Header: http.Header{}, Request: &http.Request{Method: http.MethodPost, URL: &url.URL{Host: "account.test"}},
		Body: io.NopCloser(strings.NewReader(`{"code":"X","message":"what happened\nstack"}`)),
	}
	for i := 0; i < len(headers); i += 2 {
		resp.Header.Set(headers[i], headers[i+1])
	}
	return runtime.NewResponseErrorWithErrorCode(resp, "X")
}

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		class class
		after time.Duration
	}{
		"throttled":               {answered(429, "x-ms-retry-after-ms", "120"), refused, 120 * time.Millisecond},
		"throttled by parts":      {answered(429, "x-ms-retry-after-ms", "0.5"), refused, 500 * time.Microsecond},
		"throttled, no time":      {answered(429), refused, 0},
		"throttled, bad time":     {answered(429, "x-ms-retry-after-ms", "-5"), refused, 0},
		"met another write":       {answered(449), refused, 0},
		"timeout":                 {answered(408), doubtful, 0},
		"gone":                    {answered(410), doubtful, 0},
		"internal error":          {answered(500), doubtful, 0},
		"bad gateway":             {answered(502), doubtful, 0},
		"unavailable":             {fmt.Errorf("wrapped: %w", answered(503, "x-ms-retry-after-ms", "7")), doubtful, 7 * time.Millisecond},
		"gateway timeout":         {answered(504), doubtful, 0},
		"bad request":             {answered(400), final, 0},
		"wrong key":               {answered(401), final, 0},
		"forbidden":               {answered(403), final, 0},
		"no container":            {answered(404, "x-ms-substatus", "1003"), final, 0},
		"conflict":                {answered(409), final, 0},
		"too large":               {answered(413), final, 0},
		"connection reset":        {&net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}, doubtful, 0},
		"silent connection":       {context.DeadlineExceeded, doubtful, 0},
		"answer cut short":        {errors.New("unexpected end of JSON input"), doubtful, 0},
		"batch: exists":           {&operationError{1, 409}, final, 0},
		"batch: throttled":        {&operationError{1, 429}, refused, 0},
		"batch: timeout":          {&operationError{1, 408}, refused, 0},
		"an item that is unknown": {fmt.Errorf("get: %w", finalError{errors.New("x")}), final, 0},
	} {
		class, after := classify(c.err)
		if class != c.class || after != c.after {
			t.Errorf("%s: class %d after %v, want %d after %v", name, class, after, c.class, c.after)
		}
	}
}

func TestAbsentIsAnItem(t *testing.T) {
	if !isAbsent(answered(404)) || isAbsent(answered(404, "x-ms-substatus", "1003")) || isAbsent(nil) || isAbsent(answered(409)) {
		t.Error("a missing container is not a missing item")
	}
}

func TestServiceErrorsAreOneLine(t *testing.T) {
	err := explain(context.Background(), answered(403, "x-ms-activity-id", "42"))
	if got := err.Error(); got != "403 Forbidden: what happened (activity 42)" {
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err = explain(ctx, answered(503))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v", err)
	}
}

func TestVersionsThatAreNone(t *testing.T) {
	for _, v := range []string{"", "*", "x", `""`, `"a`, `"a"b"`, `"*"` + "\n", `"a b"`, `"` + strings.Repeat("x", 200) + `"`} {
		if etagOf(v) != noETag {
			t.Errorf("%q is sent as a precondition", v)
		}
	}
	if v := `"0000d826-0000-0700-0000-5ff7"`; string(etagOf(v)) != v {
		t.Errorf("%s is not sent", v)
	}
}
