package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildSlack(name string, t *policy.SlackTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
