package effect

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// Tags that lead from a job back to what asked for it.
const (
	originTag = event.OriginTag
	policyTag = "modelwarden.policy"
	eventTag  = "modelwarden.event"
	modelTag  = lineage.ModelTag
)

func originTags(a policy.Action) map[string]string {
	tags := map[string]string{originTag: a.ID, policyTag: a.Policy, eventTag: a.Event}
	if a.Model != "" {
		tags[modelTag] = a.Model
	}
	return tags
}

// jobNames are those that Azure Machine Learning accepts.
var jobNames = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}$`)

// jobName makes the job's name of the action's key: the same action is the
// same job.
func jobName(key string) (string, error) {
	name := "mw-" + key
	if key == "" || !jobNames.MatchString(name) {
		return "", &policy.PermanentError{Err: fmt.Errorf("key %q makes no job name: want letters, digits, - and _", key)}
	}
	return name, nil
}

// literal writes an input as text.
func literal(input any) string {
	if f, ok := input.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64) // 1000000, not 1e+06
	}
	return fmt.Sprint(input)
}

// order is what a retrain's target needs to know of it, whatever it is made of.
type order struct {
	name   string
	inputs map[string]any
	tags   map[string]string
}

// newOrder prepares a retrain; target is its kind, for the error.
func newOrder(ctx context.Context, target policy.TargetKind, in inputs, r records, a policy.Action) (order, error) {
	if err := onlyRetrain(target, a); err != nil {
		return order{}, err
	}
	name, err := jobName(a.Key)
	if err != nil {
		return order{}, err
	}
	values, err := in.render(ctx, r, a)
	if err != nil {
		return order{}, err
	}
	return order{name: name, inputs: values, tags: originTags(a)}, nil
}

// onlyRetrain refuses other actions.
func onlyRetrain(target policy.TargetKind, a policy.Action) error {
	if a.Type == policy.Retrain {
		return nil
	}
	return &policy.PermanentError{Err: fmt.Errorf("a %s target can't perform %q: it takes retrain actions", target, a.Type)}
}

// started is the outcome of a submission: a new job, or this action's own that
// an earlier attempt left; where says in which workspace. It names the run, so
// that the run's events end the action.
func started(where string, j azureml.Job, created bool, a policy.Action) (policy.Outcome, error) {
	if origin := j.Tags[originTag]; !created && origin != a.ID {
		return policy.Outcome{}, &policy.PermanentError{Err: fmt.Errorf("%s has a job %s that is not of this action (its tag %s is %q)", where, j.Name, originTag, origin)}
	}
	summary := "found job " + j.Name + " submitted before"
	if created {
		summary = "submitted job " + j.Name
	}
	return policy.Outcome{Summary: summary, URL: shownLink(j.Studio), Run: j.Name}, nil
}

// shownLink is a link that a service gave, if a person may be led there.
func shownLink(link string) string {
	if u, err := parseURL(link); err != nil || u.User != nil {
		return ""
	}
	return link
}
