package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

// Bounds of what an alert carries.
const (
	maxPeers      = 20
	maxLabels     = 20
	maxLabelValue = 200
)

var (
	// labelName is what every Alertmanager accepts.
	labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,99}$`)
	// reviewLabels are those that the alert of a review has by itself.
	reviewLabels = []string{"alertname", "model", "notice", "policy", "review", "severity", "since", "workspace"}
)

func (c *checker) alertmanager(path string, t *AlertmanagerTarget) {
	c.url(path+".url", t.URL)
	c.peers(path+".peers", t)
	if len(t.Labels) > maxLabels {
		c.fail(path+".labels", "are %d: at most %d", len(t.Labels), maxLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Labels)) {
		c.label(strictyaml.Join(path+".labels", name), name, t.Labels[name])
	}
	switch {
	case t.User != "" && t.TokenEnv == "" && t.TokenFile == "":
		c.fail(path+".user", "has no password: name where it is with tokenEnv or tokenFile")
	case strings.Contains(t.User, ":"):
		c.fail(path+".user", "has a colon in it, which basic authentication can't carry")
	}
	c.optionalToken(path, &t.Token)
}

func (c *checker) peers(path string, t *AlertmanagerTarget) {
	if len(t.Peers) > maxPeers {
		c.fail(path, "are %d: at most %d", len(t.Peers), maxPeers)
	}
	for i, peer := range t.Peers {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.url(at, peer)
		if peer == t.URL || slices.Contains(t.Peers[:i], peer) {
			c.fail(at, "is listed twice: url and peers are each server of the cluster once")
		}
	}
}

func (c *checker) label(path, name, value string) {
	switch {
	case slices.Contains(reviewLabels, name):
		c.fail(path, "is set by the sender itself: choose another label")
	case !labelName.MatchString(name) || strings.HasPrefix(name, "__"):
		c.fail(path, "is not a label's name: use letters, digits and underscore, no digit first and no two underscores first")
	case value == "" || len(value) > maxLabelValue:
		c.fail(path, "wants a value of 1 to %d bytes", maxLabelValue)
	}
}

func (c *checker) pagerDuty(path string, t *PagerDutyTarget) {
	c.optionalURL(path+".url", t.URL)
	c.token(path, &t.Token)
	c.callback(path, &t.Callback)
}
