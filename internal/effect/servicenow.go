package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildServiceNow(name string, t *policy.ServiceNowTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
