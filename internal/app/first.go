package app

import _ "embed"

// firstPolicies is the policy file that `init` writes.
//
//go:embed first-policies.yaml
var firstPolicies []byte
