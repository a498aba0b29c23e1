package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildAlertmanager(name string, t *policy.AlertmanagerTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
