package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildGitHubIssue(name string, t *policy.GitHubIssueTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
