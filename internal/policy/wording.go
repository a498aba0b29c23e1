package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// The sentences here are read by whoever is on call, on a telephone, at
// night: what is wrong first, then by how much, then why anything is done.

// title says what is wrong.
func (d *decider) title(r *rule, dec *Decision) string {
	ev := d.event
	switch {
	case ev.Kind == event.MonitorPassed:
		return fmt.Sprintf("%s: monitor passed", d.name())
	case ev.Monitor != nil:
		return d.breachTitle(dec)
	case ev.Alert != nil:
		return d.alertTitle()
	case ev.Model != nil:
		return fmt.Sprintf("%s: version %s was registered", clip(ev.Model.Name, 80), clip(ev.Model.Version, 40))
	case ev.Deployment != nil:
		return fmt.Sprintf("%s: deployed to %s/%s", d.deployed(), clip(ev.Deployment.Endpoint, 80), clip(ev.Deployment.Name, 80))
	case ev.Run != nil:
		return d.runTitle() + numbers(r.when, dec.Inputs)
	case ev.Kind == event.SubscriptionDeleted:
		return "An event subscription was deleted: its events no longer arrive"
	}
	return string(ev.Kind)
}

// name is what people call the thing: the model, else the monitor.
func (d *decider) name() string {
	if m := modelOf(d.event, d.view); m != "" {
		return clip(m.Name(), 80)
	}
	if d.event.Monitor != nil {
		return clip(d.event.Monitor.Name, 80)
	}
	return clip(d.asset, 120)
}

func (d *decider) breachTitle(dec *Decision) string {
	if len(dec.Breaches) == 0 {
		return fmt.Sprintf("%s: monitor %s reports a breach", d.name(), clip(d.event.Monitor.Name, 80))
	}
	out := d.name() + ": " + breachText(dec.Breaches[0])
	switch more := len(dec.Breaches) + dec.MoreBreaches - 1; {
	case more == 1:
		out += ", and 1 more"
	case more > 1:
		out += fmt.Sprintf(", and %d more", more)
	}
	return out
}

// breachText is "data_drift of age is 0.35, limit 0.20
// (PopulationStabilityIndex)".
func breachText(b event.Breach) string {
	var out strings.Builder
	what := b.SignalType
	if what == "" {
		what = b.Signal
	}
	out.WriteString(clip(what, 80))
	if b.Feature != "" {
		out.WriteString(" of " + clip(b.Feature, 80))
	}
	switch {
	case b.Value == nil:
		out.WriteString(" breached its limit")
	default:
		out.WriteString(" is " + figure(*b.Value))
	}
	if b.Threshold != nil {
		out.WriteString(", limit " + figure(*b.Threshold))
	}
	if b.Metric != "" {
		out.WriteString(" (" + clip(b.Metric, 80) + ")")
	}
	return out.String()
}

func (d *decider) alertTitle() string {
	a := d.event.Alert
	verb := "fired"
	if d.event.Kind == event.AlertResolved {
		verb = "resolved"
	}
	out := fmt.Sprintf("Alert %s (%s) %s", clip(a.Rule, 80), clip(a.Severity, 20), verb)
	if a.Endpoint != "" {
		out += " for " + clip(a.Endpoint, 80)
		if a.Deployment != "" {
			out += "/" + clip(a.Deployment, 80)
		}
	}
	if a.Description != "" {
		out += ": " + clip(a.Description, 200)
	}
	return out
}

func (d *decider) deployed() string {
	models := d.event.Deployment.Models
	if len(models) == 0 {
		return "A model"
	}
	out := clip(models[0].Name, 80) + " version " + clip(models[0].Version, 40)
	if len(models) > 1 {
		out += fmt.Sprintf(" and %d more", len(models)-1)
	}
	return out
}

func (d *decider) runTitle() string {
	r := d.event.Run
	status := strings.ToLower(r.Status)
	if status == "" {
		status = strings.TrimPrefix(string(d.event.Kind), "job.")
	}
	out := fmt.Sprintf("Job %s", clip(r.ID, 80))
	if r.ExperimentName != "" {
		out += " of " + clip(r.ExperimentName, 80)
	}
	return out + ": " + clip(status, 40)
}

// reason says why the policy acts.
func (d *decider) reason(r *rule, w sustained, dec *Decision) string {
	parts := []string{"Policy " + r.policy.Name + " acts on " + string(d.event.Kind)}
	if w.detail != "" {
		parts = append(parts, w.detail)
	}
	if dec.Condition != "" {
		parts = append(parts, "because "+clip(dec.Condition, 300)+values(r.when, dec.Inputs))
	}
	return strings.Join(parts, ": ")
}

// values lists the numbers and texts that a condition read.
func values(c *condition, inputs map[string]any) string {
	var parts []string
	for _, r := range c.reads {
		switch v := inputs[r.String()].(type) {
		case float64:
			parts = append(parts, r.String()+" is "+figure(v))
		case string:
			parts = append(parts, r.String()+" is "+strconv.Quote(clip(v, 60)))
		}
		if len(parts) == 6 {
			break
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// numbers are those that a condition read of a run, for its title.
func numbers(c *condition, inputs map[string]any) string {
	if c == nil {
		return ""
	}
	out := ""
	for _, r := range c.reads {
		if v, ok := inputs[r.String()].(float64); ok && len(out) < 200 {
			out += ", " + r.String() + " is " + figure(v)
		}
	}
	return out
}

// figure writes a number with four significant digits and, where they fit, at
// least two decimals: 0.35, 0.20, 12.50, 1234, 0.00001.
func figure(x float64) string {
	if x == 0 {
		return "0"
	}
	size := math.Abs(x)
	if size >= 1e9 || size < 1e-4 || math.IsNaN(x) {
		return strconv.FormatFloat(x, 'g', 4, 64)
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	if err != nil || size >= 1000 {
		return strconv.FormatFloat(math.Round(x), 'f', -1, 64)
	}
	out := strconv.FormatFloat(rounded, 'f', -1, 64)
	point := strings.IndexByte(out, '.')
	if point < 0 {
		return out
	}
	for len(out)-point < 3 {
		out += "0"
	}
	return out
}

func formatFloat(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// moment writes a time for a sentence, to the minute.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }

// rough writes how long something still takes: to the minute, or to the
// second in the last one.
func rough(d time.Duration) string {
	if d < time.Minute {
		return Duration((d + time.Second - 1).Truncate(time.Second)).String()
	}
	return Duration(d.Truncate(time.Minute)).String()
}
