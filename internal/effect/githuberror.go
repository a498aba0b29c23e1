package effect

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// failure sorts an answer that is not a success and says what to check.
func (g *GitHub) failure(ans *answer) error {
	return gitHubFailure(ans, &g.api, g.o.Now(), g.advice)
}

// gitHubFailure sorts an answer of GitHub's that is not a success. advice says
// what to check, by the status of a refusal.
func gitHubFailure(ans *answer, api *rest, now time.Time, advice func(status int) string) error {
	err := statusError(ans, api.base, now, api.hide)
	if after, limited := rateLimit(ans, now); limited {
		var permanent *policy.PermanentError
		if errors.As(err, &permanent) { // a 403
			err = permanent.Err
		}
		return &policy.RetryAfterError{Err: err, After: after}
	}
	return hint(err, advice(ans.status))
}

// rateLimit reads how long to stay away; see GitHub's "Rate limits for the
// REST API": Retry-After, else the moment in x-ratelimit-reset when nothing
// remains, else a minute when the answer speaks of a secondary limit.
func rateLimit(ans *answer, now time.Time) (after time.Duration, limited bool) {
	if ans.status != http.StatusForbidden && ans.status != http.StatusTooManyRequests {
		return 0, false
	}
	if after, ok := retryAfter(ans.header.Get("Retry-After"), now); ok {
		return after, true
	}
	if ans.header.Get("X-Ratelimit-Remaining") == "0" {
		if reset, err := strconv.ParseInt(ans.header.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
			return clamp(time.Unix(reset, 0).Sub(now), time.Second, maxRetryAfter), true
		}
		return time.Minute, true
	}
	limited = ans.status == http.StatusTooManyRequests || strings.Contains(strings.ToLower(string(ans.body)), "rate limit")
	return time.Minute, limited
}

// advice is a sentence about a refusal.
func (g *GitHub) advice(status int) string {
	t := &g.o.Target
	switch {
	case status == http.StatusUnauthorized:
		return "the token is not accepted: check that it has not expired"
	case status == http.StatusForbidden && t.Event != "":
		return "the token needs the repository permissions Contents: write and Actions: read"
	case status == http.StatusForbidden:
		return "the token needs the repository permission Actions: write"
	case status == http.StatusNotFound:
		return "check owner, repo and workflow, and that the token may see the repository"
	case status == http.StatusUnprocessableEntity && t.Event != "":
		return "check the event's name and the size of the inputs"
	case status == http.StatusUnprocessableEntity:
		return "check that the branch or tag " + t.Ref + " exists and that the workflow there has on: workflow_dispatch with all of the target's inputs and modelwarden_key, and shows that in its run-name"
	}
	return ""
}
