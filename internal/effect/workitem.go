package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildWorkItem(name string, t *policy.WorkItemTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
