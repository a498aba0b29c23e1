package ml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	meaning "github.com/modelwarden/modelwarden/internal/azure/answer"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// fault turns any error into one of the port's. It is the only place that
// looks into the SDK's errors.
func fault(doing string, err error) error {
	var answer *azcore.ResponseError
	var ours *policy.PermanentError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("azure ml: %s: %w", doing, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("azure ml: %s: %w", doing, context.DeadlineExceeded)
	case errors.As(err, &answer):
		return answered(doing, answer)
	case errors.As(err, &ours), errors.Is(err, lineage.ErrNotFound), errors.Is(err, lineage.ErrConflict):
		return fmt.Errorf("azure ml: %s: %w", doing, err)
	}
	return fmt.Errorf("azure ml: %s: no usable answer: %s", doing, bare(err))
}

// answered sorts what the service answered.
func answered(doing string, answer *azcore.ResponseError) error {
	said := fmt.Errorf("azure ml: %s: %s", doing, say(answer))
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%w: %w", said, lineage.ErrNotFound)
	case http.StatusConflict, http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", said, lineage.ErrConflict)
	}
	return meaning.Sort(said, answer.StatusCode, meaning.Header(answer.RawResponse))
}

// say words an answer, and what to do about it where that is known. ARM and
// MLflow spell their errors differently.
func say(answer *azcore.ResponseError) string {
	said := strconv.Itoa(answer.StatusCode) + " " + http.StatusText(answer.StatusCode)
	if text := message(answer.RawResponse); text != "" {
		said += ": " + text
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		said += ` (reading needs the role "Reader" on the workspace, retraining and rollback "AzureML Data Scientist")`
	}
	return said
}

func message(answer *http.Response) string {
	if answer == nil {
		return ""
	}
	body, err := runtime.Payload(answer)
	if err != nil {
		return ""
	}
	var said struct {
		Error   struct{ Message string }
		Message string
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	if said.Error.Message != "" {
		return clip(said.Error.Message, 500)
	}
	return clip(said.Message, 500)
}

// bare is an error's text without addresses, which may hold more than one
// wants to show.
func bare(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return clip(first, 300)
}

// notUnderstood marks a request that no retry makes right.
func notUnderstood(err error) error { return &policy.PermanentError{Err: err} }

// clip cuts a text at a rune boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
