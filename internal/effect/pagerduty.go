package effect

import "github.com/modelwarden/modelwarden/internal/policy"

func buildPagerDuty(name string, t *policy.PagerDutyTarget, d *Deps) (Ticketer, error) {
	return nil, errNotBuilt
}
