// Package policy says what is done about an event, and why not.
//
// A policy file ([File], read by [Parse] or, in several parts, by [Merge]) is
// compiled into a [Set], which decides: [Set.Decide] is a pure function of the
// event, what is known ([View]) and the time. What it returns is carried out
// by others: decisions and memories are stored, actions are performed by
// effectors ([Effector]).
//
// # How a policy decides
//
// A policy looks at events of the kinds it is `on` that its `match` selects.
// Where an event reports breaches it decides once per signal, else once. Then,
// in this order:
//
//   - The condition `when` is tried, on each breach where it reads the breach,
//     and holds when it holds for one. Without `when` it always holds. What the
//     event does not have at all (breach of a job) makes it false; a key that
//     is not there is an error, and has() asks for it first.
//   - `sustained` counts the breached among the latest windows of the signal,
//     in the order in which they were measured. A window in which the monitor
//     ran and did not breach this signal counts as not breached.
//   - Each action is judged by itself and withheld when its window was acted
//     on already or is older than one that was, on a replay that may not act,
//     in a freeze, during its cooldown, beyond its cap, and, for a retrain,
//     when the event also tells of broken data, when the policy's last retrains
//     did not help, and while another retrain of the model is under way.
//
// What goes across assets is kept by whoever dispatches: budgets
// ([Set.BudgetsFor]), storms ([Set.Storm]), one retrain of a model at a time.
//
// # Whether a retrain helped
//
// A retrain is followed from its run to the first window that is measured with
// its version in service ([Loop]). What that says is kept on the action and in
// the policy's memory ([Trial]): after some retrains in a row that did not
// help, the policy suspends itself for the asset ([Set.Suspended]).
//
// # Windows and keys
//
// A window is what several events may speak of: a monitoring run, a job's run,
// an alert instance, a model version. All decisions on one window have the
// same keys, so that whatever is delivered twice is done once.
package policy
