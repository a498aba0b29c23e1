// Package effect performs actions: one effector per kind of target, behind
// the one-method port policy.Effector.
//
// An effector makes one attempt and says in its error whether another could
// help. What all of them need is shared here: [Guard] bounds time,
// concurrency and hammering of a target that is down; [NextAttempt] spaces
// the attempts, which the worker counts in the action's own record; the
// dialer of [NewClient] refuses addresses that a policy file must not reach
// by accident; and every text that could repeat a secret goes through one
// redactor.
//
// No effector has an effect twice for one key. A webhook passes the key on; a
// job in Azure Machine Learning is named after it; a GitHub workflow and an
// Azure DevOps pipeline are told it and looked for by it; a rollback writes
// its plan down under it before it acts.
package effect
