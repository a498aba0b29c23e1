package eventgrid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	meaning "github.com/modelwarden/modelwarden/internal/azure/answer"
)

// fault turns an error of the SDK into one of meaning. It is the only place that
// looks into the SDK's errors.
func (a *access) fault(doing string, err error) error {
	var answer *azcore.ResponseError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("event grid: %s: %w", doing, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("event grid: %s: %w", doing, context.DeadlineExceeded)
	case errors.As(err, &answer):
		return a.answered(doing, answer)
	}
	return fmt.Errorf("event grid: %s: no answer: %s", doing, a.hide(err.Error()))
}

// answered sorts what the service answered.
func (a *access) answered(doing string, answer *azcore.ResponseError) error {
	err := fmt.Errorf("event grid: %s: %s", doing, a.say(answer))
	return meaning.Sort(err, answer.StatusCode, meaning.Header(answer.RawResponse))
}

// say words an answer, and what to do about it where that is known.
func (a *access) say(answer *azcore.ResponseError) string {
	said := fmt.Sprintf("%d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	if text := a.message(answer.RawResponse); text != "" {
		said += ": " + text
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		if a.key != "" {
			return said + " (the key is wrong, or the resource does not allow keys)"
		}
		return said + fmt.Sprintf(" (the identity needs the role %q on the resource)", a.role)
	case http.StatusNotFound, http.StatusGone:
		return said + " (it does not exist: check endpoint, topic and event subscription)"
	}
	return said
}

// message is the service's own sentence in an answer.
func (a *access) message(answer *http.Response) string {
	if answer == nil {
		return ""
	}
	body, err := runtime.Payload(answer)
	if err != nil {
		return ""
	}
	var said struct {
		Error struct{ Message string }
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	return a.hide(said.Error.Message)
}

// reached is nil for an answer that only somebody gets who was let in: 400 is
// what Check's empty requests may earn, after keys and roles were looked at.
func (a *access) reached(doing string, err error) error {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && answer.StatusCode == http.StatusBadRequest {
		return nil
	}
	return a.fault(doing, err)
}
