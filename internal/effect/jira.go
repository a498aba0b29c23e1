package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildJira(name string, t *policy.JiraTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
