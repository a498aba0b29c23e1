package effect

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// slackAnswer is what is read of the Web API's answers. Nearly all have status
// 200, and OK says whether the call did something.
type slackAnswer struct {
	OK        bool          `json:"ok"`
	Error     string        `json:"error"`
	Needed    string        `json:"needed"`
	Channel   string        `json:"channel"`
	TS        string        `json:"ts"`
	Permalink string        `json:"permalink"`
	Messages  []slackListed `json:"messages"`
	Next      struct {
		Cursor string `json:"next_cursor"`
	} `json:"response_metadata"`
}

// slackListed is a message of a listing.
type slackListed struct {
	TS       string    `json:"ts"`
	Metadata slackMark `json:"metadata"`
}

// send calls one method of the Web API.
func (s *slack) send(ctx context.Context, verb, method string, query url.Values, body any) (*slackAnswer, error) {
	ans, err := s.api.send(ctx, verb, method, query, body)
	if err != nil {
		return nil, err
	}
	if !ans.ok() {
		return nil, statusError(ans, s.api.base, s.now(), s.api.hide)
	}
	var a slackAnswer
	if err := s.api.read(ans, &a); err != nil {
		return nil, err
	}
	if !a.OK {
		return nil, s.refusal(method, ans, &a)
	}
	return &a, nil
}

// slackRefusal is an answer that says no.
type slackRefusal struct{ method, code string }

func (r *slackRefusal) Error() string { return fmt.Sprintf("Slack refused %s: %s", r.method, r.code) }

// slackRefused reports whether an error is a refusal for one of the reasons.
func slackRefused(err error, codes ...string) bool {
	var r *slackRefusal
	return errors.As(err, &r) && slices.Contains(codes, r.code)
}

// slackPassing are refusals that pass by themselves.
var slackPassing = []string{
	"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org",
}

// refusal sorts a refusal and says what to do about it.
func (s *slack) refusal(method string, ans *answer, a *slackAnswer) error {
	err := error(&slackRefusal{method, s.api.hide.excerpt([]byte(a.Error))})
	if slices.Contains(slackPassing, a.Error) {
		if after, ok := retryAfter(ans.header.Get("Retry-After"), s.now()); ok {
			return &policy.RetryAfterError{Err: err, After: after}
		}
		return err
	}
	advice := slackAdvice[a.Error]
	if a.Error == "missing_scope" && a.Needed != "" {
		advice = "the token lacks the scope " + s.api.hide.excerpt([]byte(a.Needed)) + ": add it to the app and install the app again"
	}
	return &policy.PermanentError{Err: hint(err, advice)}
}

const (
	slackNewToken = "install the app in the workspace again and put its bot token where the target's token is"
	slackBotToken = "the target wants an app's bot token (xoxb-...)"
	slackOwnFault = "that is a fault of this service: please report it"
)

// slackAdvice says what to do about a refusal.
var slackAdvice = map[string]string{
	"channel_not_found":              "check the target's channel, by its id, and invite the app if the channel is private",
	"not_in_channel":                 "invite the app to the channel",
	"is_archived":                    "unarchive the channel or choose another",
	"restricted_action":              "a preference of the workspace keeps the app from posting in this channel",
	"edit_window_closed":             "the workspace does not let messages be edited for long enough: lift that for apps",
	"invalid_auth":                   slackNewToken,
	"not_authed":                     slackNewToken,
	"account_inactive":               slackNewToken,
	"token_revoked":                  slackNewToken,
	"token_expired":                  slackNewToken,
	"not_allowed_token_type":         slackBotToken,
	"metadata_must_be_sent_from_app": slackBotToken,
	"missing_scope":                  "add the scope chat:write to the app and install the app again",
	"invalid_blocks":                 slackOwnFault,
	"invalid_blocks_format":          slackOwnFault,
	"msg_blocks_too_long":            slackOwnFault,
	"msg_too_long":                   slackOwnFault,
	"metadata_too_large":             slackOwnFault,
	"invalid_metadata_format":        slackOwnFault,
}
