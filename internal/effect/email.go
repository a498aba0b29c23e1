package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildEmail(name string, t *policy.EmailTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
