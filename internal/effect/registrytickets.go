package effect

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

var (
	// ErrForged means that a request to a target's callback is not its tool's.
	ErrForged = errors.New("the request is not signed as this target's callback secret demands")
	// ErrNoCallback means that a target has no secret to tell its tool's
	// requests from others by.
	ErrNoCallback = errors.New("this target takes no callbacks: it has no callbackSecretEnv or callbackSecretFile, or its kind never calls back")
)

// NewTicketers builds what shows reviews in tools, for the targets that do.
// Secrets are read here, once; errors are as for New.
func NewTicketers(targets map[string]policy.Target, d Deps) (map[string]Ticketer, error) {
	d = d.withDefaults()
	out := map[string]Ticketer{}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		kind := targets[name].Kind()
		if !kind.Ticketed() {
			continue
		}
		e, err := buildTicketer(name, targets[name], &d)
		if err != nil {
			problems = append(problems, fmt.Errorf("targets.%s.%s.%w", name, kind, err))
			continue
		}
		out[name] = e
	}
	return out, errors.Join(problems...)
}

func buildTicketer(name string, t policy.Target, d *Deps) (Ticketer, error) {
	switch {
	case t.Webhook != nil:
		return buildWebhookReviews(name, t.Webhook, d)
	case t.Alertmanager != nil:
		return buildAlertmanager(name, t.Alertmanager, d)
	case t.PagerDuty != nil:
		return buildPagerDuty(name, t.PagerDuty, d)
	case t.GitHubIssue != nil:
		return buildGitHubIssue(name, t.GitHubIssue, d)
	case t.WorkItem != nil:
		return buildWorkItem(name, t.WorkItem, d)
	case t.Jira != nil:
		return buildJira(name, t.Jira, d)
	case t.ServiceNow != nil:
		return buildServiceNow(name, t.ServiceNow, d)
	case t.Slack != nil:
		return buildSlack(name, t.Slack, d)
	case t.Teams != nil:
		return buildTeams(name, t.Teams, d)
	case t.Email != nil:
		return buildEmail(name, t.Email, d)
	}
	return nil, fmt.Errorf("kind: want exactly one of %v", policy.TargetKinds())
}

// TicketTimeout bounds one Deliver to a target.
func TicketTimeout(t policy.Target) time.Duration {
	if t.Webhook != nil {
		return cmp.Or(time.Duration(t.Webhook.Timeout), serviceTimeout)
	}
	token := t.Token()
	if token == nil {
		return serviceTimeout
	}
	return cmp.Or(time.Duration(token.Timeout), serviceTimeout)
}
