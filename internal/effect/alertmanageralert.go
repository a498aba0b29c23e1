package effect

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// Labels of our alerts besides those of the configuration.
const (
	labelName     = "alertname"
	labelReview   = "review"
	labelNotice   = "notice"
	labelSeverity = "severity"
	labelSince    = "since"

	reviewAlert = "ModelwardenReview"
	noticeAlert = "ModelwardenNotice"
)

// noticeLasts is how long a notice fires: long enough for a group_wait.
const noticeLasts = 5 * time.Minute

// postedAlert is an alert as Alertmanager takes it and gives it back
// (postableAlert, gettableAlert).
type postedAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt,omitzero"`
	EndsAt       time.Time         `json:"endsAt,omitzero"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// alert is the review's while it fires.
func (m *alertmanager) alert(d *Delivery) postedAlert {
	r := &d.Card.Review
	return postedAlert{
		Labels: m.labelled(r, map[string]string{
			labelName: reviewAlert, labelReview: r.ID, labelSince: r.OpenSince.UTC().Format(time.RFC3339),
		}),
		Annotations:  alertAnnotations(&d.Card, d.Now),
		StartsAt:     r.OpenSince.UTC(),
		EndsAt:       d.Now.Add(alertLasts).UTC(),
		GeneratorURL: pageLink(d.Card.URL),
	}
}

// notice is the alert of what is told once.
func (m *alertmanager) notice(d *Delivery) postedAlert {
	a := m.alert(d)
	a.Labels = m.labelled(&d.Card.Review, map[string]string{labelName: noticeAlert, labelNotice: d.Key})
	a.StartsAt, a.EndsAt = d.Now.UTC(), d.Now.Add(noticeLasts).UTC()
	delete(a.Annotations, "state")
	delete(a.Annotations, "count")
	return a
}

// labelled adds what a review keeps all its life, and the severity. Policies
// only ever join at the end, so the first is the first for ever.
func (m *alertmanager) labelled(r *review.Review, own map[string]string) map[string]string {
	out := maps.Clone(m.labels)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, own)
	out[labelSeverity] = string(r.Severity)
	set(out, "workspace", r.Workspace)
	set(out, "model", pageModel(r))
	if len(r.Policies) > 0 {
		set(out, "policy", r.Policies[0])
	}
	return out
}

// set leaves out what is empty: to Alertmanager, that is no label.
func set(m map[string]string, name, value string) {
	if value != "" {
		m[name] = value
	}
}

// alertAnnotations are what people read. They may change without a call.
func alertAnnotations(c *review.Card, now time.Time) map[string]string {
	r := &c.Review
	out := map[string]string{
		"summary": pageSummary(r), "description": pageText(c, now),
		"state": string(r.State), "count": strconv.Itoa(r.Count),
	}
	set(out, "runbook_url", pageRunbook(c))
	if r.State == review.Acknowledged {
		set(out, "acknowledged_by", clip(inertPage(r.AckedBy), maxPageSummary))
	}
	if !r.Escalated.IsZero() {
		out["escalated"] = r.Escalated.UTC().Format(time.RFC3339)
	}
	return out
}

// sending is an alert on its way to the servers.
type sending struct {
	alert postedAlert
	// others selects the alerts that end when they are not this one; nil for a
	// notice.
	others []alertMatcher
	// over ends this one as well.
	over bool
	now  time.Time
}

// tell makes one server show the alert, and no other of its review. When the
// others can't be asked for, it is sent all the same: people are to be called.
func (s *alertServer) tell(ctx context.Context, n *sending) error {
	var others []postedAlert
	var asked error
	clock := n.now
	if n.others != nil {
		others, clock, asked = s.alerts(ctx, n)
	}
	batch := []postedAlert{n.alert}
	if n.over {
		batch[0] = n.alert.ended(clock)
	}
	for _, o := range others {
		if !maps.Equal(o.Labels, n.alert.Labels) {
			batch = append(batch, o.ended(clock))
		}
	}
	if _, err := s.call(ctx, http.MethodPost, "api/v2/alerts", nil, batch, nil, n.now); err != nil {
		return err
	}
	return asked
}

// alerts are those that the server has of the review, and the server's time.
func (s *alertServer) alerts(ctx context.Context, n *sending) ([]postedAlert, time.Time, error) {
	var list []postedAlert
	ans, err := s.call(ctx, http.MethodGet, "api/v2/alerts", alertFilter(n.others), nil, &list, n.now)
	if err != nil {
		return nil, n.now, err
	}
	return list, ans.clock(n.now), nil
}

// alertMatcher matches a label's whole value.
type alertMatcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
}

// matchers select what is of one review and of this target. Ids follow from
// causes, so that another service can have a review of the same id: its alerts
// are told apart by the labels that are configured, and left alone.
func (m *alertmanager) matchers(id string) []alertMatcher {
	out := []alertMatcher{{Name: labelName, Value: reviewAlert}, {Name: labelReview, Value: id}}
	for _, name := range slices.Sorted(maps.Keys(m.labels)) {
		out = append(out, alertMatcher{Name: name, Value: m.labels[name]})
	}
	return out
}

// quoted escapes a matcher's value as Alertmanager reads it.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// alertFilter asks for what has all of the matchers.
func alertFilter(matchers []alertMatcher) url.Values {
	out := url.Values{}
	for _, m := range matchers {
		out.Add("filter", m.Name+`="`+quoted.Replace(m.Value)+`"`)
	}
	return out
}

// ended is the alert when it is over. An alert can't end before it began, even
// if it began by a clock that is ahead of the server's.
func (a postedAlert) ended(at time.Time) postedAlert {
	a.EndsAt = at.UTC()
	if a.StartsAt.After(a.EndsAt) {
		a.StartsAt = a.EndsAt
	}
	return a
}
