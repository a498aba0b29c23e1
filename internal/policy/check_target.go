package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

// target checks one target.
func (c *checker) target(path, name string, t Target) {
	if c.name(path, name) {
		c.take(path, "target", name)
	}
	kinds := t.kinds()
	switch {
	case len(kinds) == 0:
		c.fail(path, "has no kind: write one of %s", strings.Join(names(TargetKinds()), ", "))
	case len(kinds) > 1:
		c.fail(path, "is %s and %s at once: make two targets of it", kinds[0], kinds[1])
	case name == Desk && t.Review == nil:
		c.fail(path, "desk is the built-in inbox and has to be {review: {}}: give this %s another name", kinds[0])
	}
	switch {
	case t.Webhook != nil:
		c.webhook(path+".webhook", t.Webhook)
	case t.Sandbox != nil:
		c.optionalURL(path+".sandbox.url", t.Sandbox.URL)
		c.duration(path+".sandbox.timeout", t.Sandbox.Timeout)
		c.inputs(path+".sandbox.inputs", t.Sandbox.Inputs)
	case t.AzureML != nil:
		c.azureML(path+".azureml", t.AzureML)
	case t.Batch != nil:
		c.batch(path+".batchEndpoint", t.Batch)
	case t.GitHub != nil:
		c.gitHub(path+".github", t.GitHub)
	case t.AzureDevOps != nil:
		c.azureDevOps(path+".azureDevOps", t.AzureDevOps)
	case t.Rollback != nil:
		c.rollback(path+".rollback", t.Rollback)
	case t.Alertmanager != nil:
		c.alertmanager(path+".alertmanager", t.Alertmanager)
	case t.PagerDuty != nil:
		c.pagerDuty(path+".pagerDuty", t.PagerDuty)
	case t.GitHubIssue != nil:
		c.gitHubIssue(path+".githubIssue", t.GitHubIssue)
	case t.WorkItem != nil:
		c.workItem(path+".azureDevOpsWorkItem", t.WorkItem)
	case t.Jira != nil:
		c.jira(path+".jira", t.Jira)
	case t.ServiceNow != nil:
		c.serviceNow(path+".serviceNow", t.ServiceNow)
	case t.Slack != nil:
		c.slack(path+".slack", t.Slack)
	case t.Teams != nil:
		c.teams(path+".teams", t.Teams)
	case t.Email != nil:
		c.email(path+".email", t.Email)
	}
}

// url checks an address without repeating it: it may hold a secret.
func (c *checker) url(path, text string) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		c.fail(path, "is missing: write an address such as https://ci.contoso.example/retrain")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		c.fail(path, "is not an http or https address")
	case u.User != nil:
		c.fail(path, "has a user or password in it: secrets do not belong in this file")
	}
}

// optionalURL checks an address that has a default.
func (c *checker) optionalURL(path, text string) {
	if text != "" {
		c.url(path, text)
	}
}

// envName checks the name of the environment variable that a secret is in.
func (c *checker) envName(path, name string) {
	if name != "" && !isEnvName(name) {
		c.fail(path, "is not the name of an environment variable (it names where the secret is, it is not the secret)")
	}
}

func (c *checker) allowPrivate(path string, hosts []string) {
	for i, h := range hosts {
		if h == "" || strings.ContainsAny(h, "*? ") || strings.Contains(h, "/") && !isBlock(h) {
			c.fail(fmt.Sprintf("%s[%d]", path, i), "wants a host's name or address, or a block of addresses such as 10.1.0.0/16; no pattern, path or port")
		}
	}
}

func (c *checker) webhook(path string, w *WebhookTarget) {
	c.url(path+".url", w.URL)
	if w.SecretEnv != "" && w.SecretFile != "" {
		c.fail(path, "has secretEnv and secretFile: choose one")
	}
	c.envName(path+".secretEnv", w.SecretEnv)
	c.envName(path+".previousSecretEnv", w.PreviousSecretEnv)
	for _, h := range slices.Sorted(maps.Keys(w.Headers)) {
		c.header(strictyaml.Join(path+".headers", h), h, w.Headers[h])
	}
	c.duration(path+".timeout", w.Timeout)
	if w.MaxAttempts < 0 || w.MaxAttempts > 100 {
		c.fail(path+".maxAttempts", "is %d: give 1 to 100, or leave it out", w.MaxAttempts)
	}
	c.allowPrivate(path+".allowPrivate", w.AllowPrivate)
	for i, t := range w.Types {
		if !slices.Contains(actionTypes, t) {
			c.fail(fmt.Sprintf("%s.types[%d]", path, i), "unknown action type %q%s", clip(string(t), 40), suggest(string(t), names(actionTypes)))
		}
	}
}

// header refuses what would carry a credential, or break the request.
func (c *checker) header(path, name, value string) {
	folded := strings.ToLower(name)
	for _, word := range []string{"authorization", "cookie", "token", "secret", "api-key", "apikey", "password"} {
		if strings.Contains(folded, word) {
			c.fail(path, "looks like a credential, which does not belong in this file: the request is signed with the secret that secretEnv or secretFile names")
			return
		}
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isTokenRune(r) }) {
		c.fail(path, "is not a header name")
	}
	if strings.ContainsAny(value, "\r\n\x00") || len(value) > 4096 {
		c.fail(path, "is not a header value: one line of at most 4096 bytes")
	}
	if strings.HasPrefix(folded, "webhook-") || slices.Contains([]string{"host", "content-length", "content-type", "transfer-encoding", "connection", "idempotency-key"}, folded) {
		c.fail(path, "is set by the sender itself: choose another header")
	}
}

func isTokenRune(r rune) bool {
	return r > ' ' && r < 0x7f && !strings.ContainsRune("()<>@,;:\\\"/[]?={}", r)
}

func isEnvName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return len(s) <= 128
}

func names[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = string(v)
	}
	return out
}

func (c *checker) freeze(path string, f Freeze) {
	if c.name(path+".name", f.Name) {
		c.take(path+".name", "freeze", f.Name)
	}
	if f.From.IsZero() || f.To.IsZero() {
		c.fail(path, "needs from and to: days such as 2026-12-20, both frozen, or moments such as 2026-12-20T18:00:00Z")
		return
	}
	from, to, err := f.span()
	switch {
	case err != nil:
		c.fail(path+".timezone", "%s", err)
	case !from.Before(to):
		c.fail(path+".to", "is before from, so nothing would be frozen")
	}
	for i, t := range f.Actions {
		if !slices.Contains(actionTypes, t) {
			c.fail(fmt.Sprintf("%s.actions[%d]", path, i), "unknown action type %q%s", clip(string(t), 40), suggest(string(t), names(actionTypes)))
		}
	}
	c.match(path+".match", f.Match)
}

func (c *checker) budget(path string, b Budget) {
	if b.Name != "" && !c.name(path+".name", b.Name) {
		return
	}
	c.take(path, "budget", budgetName(b))
	c.patterns(path+".match.workspace", b.Match.Workspace)
	c.patterns(path+".match.model", b.Match.Model)
	if b.RetrainsPerDay == nil && b.RollbacksPerDay == nil {
		c.fail(path, "limits nothing: give retrainsPerDay or rollbacksPerDay")
	}
	for key, limit := range map[string]*int{".retrainsPerDay": b.RetrainsPerDay, ".rollbacksPerDay": b.RollbacksPerDay} {
		if limit != nil && *limit < 0 {
			c.fail(path+key, "is negative: give 0 to allow none, or leave it out for no limit")
		}
	}
}

// isBlock reports whether s is a block of addresses.
func isBlock(s string) bool {
	_, err := netip.ParsePrefix(s)
	return err == nil
}
