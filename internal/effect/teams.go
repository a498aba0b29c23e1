package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildTeams(name string, t *policy.TeamsTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
