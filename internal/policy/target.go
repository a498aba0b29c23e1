package policy

// Desk is the built-in inbox: the target of a review that names none. It
// exists without an entry in `targets`.
const Desk = "desk"

// TargetKind names what a target is.
type TargetKind string

// Kinds of target.
const (
	WebhookKind      TargetKind = "webhook"
	ReviewKind       TargetKind = "review"
	LogKind          TargetKind = "log"
	SandboxKind      TargetKind = "sandbox"
	AzureMLKind      TargetKind = "azureml"
	BatchKind        TargetKind = "batchEndpoint"
	GitHubKind       TargetKind = "github"
	AzureDevOpsKind  TargetKind = "azureDevOps"
	RollbackKind     TargetKind = "rollback"
	AlertmanagerKind TargetKind = "alertmanager"
	PagerDutyKind    TargetKind = "pagerDuty"
	GitHubIssueKind  TargetKind = "githubIssue"
	WorkItemKind     TargetKind = "azureDevOpsWorkItem"
	JiraKind         TargetKind = "jira"
	ServiceNowKind   TargetKind = "serviceNow"
	SlackKind        TargetKind = "slack"
	TeamsKind        TargetKind = "teams"
	EmailKind        TargetKind = "email"
)

// Target is a named place that actions go to: exactly one of its fields is
// set. Secrets are never in it, only where they are.
type Target struct {
	Webhook      *WebhookTarget      `yaml:"webhook,omitempty" json:"webhook,omitempty"`
	Review       *ReviewTarget       `yaml:"review,omitempty" json:"review,omitempty"`
	Log          *LogTarget          `yaml:"log,omitempty" json:"log,omitempty"`
	Sandbox      *SandboxTarget      `yaml:"sandbox,omitempty" json:"sandbox,omitempty"`
	AzureML      *AzureMLTarget      `yaml:"azureml,omitempty" json:"azureml,omitempty"`
	Batch        *BatchTarget        `yaml:"batchEndpoint,omitempty" json:"batchEndpoint,omitempty"`
	GitHub       *GitHubTarget       `yaml:"github,omitempty" json:"github,omitempty"`
	AzureDevOps  *AzureDevOpsTarget  `yaml:"azureDevOps,omitempty" json:"azureDevOps,omitempty"`
	Rollback     *RollbackTarget     `yaml:"rollback,omitempty" json:"rollback,omitempty"`
	Alertmanager *AlertmanagerTarget `yaml:"alertmanager,omitempty" json:"alertmanager,omitempty"`
	PagerDuty    *PagerDutyTarget    `yaml:"pagerDuty,omitempty" json:"pagerDuty,omitempty"`
	GitHubIssue  *GitHubIssueTarget  `yaml:"githubIssue,omitempty" json:"githubIssue,omitempty"`
	WorkItem     *WorkItemTarget     `yaml:"azureDevOpsWorkItem,omitempty" json:"azureDevOpsWorkItem,omitempty"`
	Jira         *JiraTarget         `yaml:"jira,omitempty" json:"jira,omitempty"`
	ServiceNow   *ServiceNowTarget   `yaml:"serviceNow,omitempty" json:"serviceNow,omitempty"`
	Slack        *SlackTarget        `yaml:"slack,omitempty" json:"slack,omitempty"`
	Teams        *TeamsTarget        `yaml:"teams,omitempty" json:"teams,omitempty"`
	Email        *EmailTarget        `yaml:"email,omitempty" json:"email,omitempty"`
}

// WebhookTarget is an HTTP endpoint that receives signed requests: one per
// action, and one per change of a review that it was told of.
type WebhookTarget struct {
	// URL is http or https, without user and password.
	URL string `yaml:"url" json:"url"`
	// SecretEnv and SecretFile name where the signing secret is: an
	// environment variable, or a file. Defaults to unsigned.
	SecretEnv  string `yaml:"secretEnv,omitempty" json:"secretEnv,omitempty"`
	SecretFile string `yaml:"secretFile,omitempty" json:"secretFile,omitempty"`
	// PreviousSecretEnv names the secret before a rotation; requests carry a
	// signature of each while it is set.
	PreviousSecretEnv string `yaml:"previousSecretEnv,omitempty" json:"previousSecretEnv,omitempty"`
	// Headers are sent along. They are not a place for credentials.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// Timeout is for one attempt. Defaults to the effector's own.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// MaxAttempts is after how many attempts an action has failed. Defaults
	// to the service's own.
	MaxAttempts int `yaml:"maxAttempts,omitempty" json:"maxAttempts,omitempty"`
	// AllowPrivate lists hosts that may be dialled although their address is
	// private or link-local. Defaults to none.
	AllowPrivate []string `yaml:"allowPrivate,omitempty" json:"allowPrivate,omitempty"`
	// Types are the action types that the endpoint understands. Defaults to
	// all.
	Types []ActionType `yaml:"types,omitempty" json:"types,omitempty"`
}

// ReviewTarget is the built-in inbox.
type ReviewTarget struct{}

// LogTarget writes the action to the service's log.
type LogTarget struct{}

// TargetKinds are all kinds, in the order in which they are listed to people.
func TargetKinds() []TargetKind {
	return []TargetKind{
		WebhookKind, ReviewKind, LogKind, SandboxKind, AzureMLKind, BatchKind,
		GitHubKind, AzureDevOpsKind, RollbackKind, AlertmanagerKind,
		PagerDutyKind, GitHubIssueKind, WorkItemKind, JiraKind, ServiceNowKind, SlackKind, TeamsKind, EmailKind,
	}
}

// SandboxTarget starts a training in the simulated workspace.
type SandboxTarget struct {
	// URL is the simulated workspace's. Defaults to the one that the service
	// runs itself.
	URL        string         `yaml:"url,omitempty" json:"url,omitempty"`
	Component  string         `yaml:"component,omitempty" json:"component,omitempty"`
	Experiment string         `yaml:"experiment,omitempty" json:"experiment,omitempty"`
	Inputs     map[string]any `yaml:"inputs,omitempty" json:"inputs,omitempty"`
	// Timeout is for one attempt to start. Defaults to the effector's own.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
}

// Kind is what the target is; "" when it does not say, or says two things.
func (t Target) Kind() TargetKind {
	kinds := t.kinds()
	if len(kinds) != 1 {
		return ""
	}
	return kinds[0]
}

func (t Target) kinds() []TargetKind {
	var out []TargetKind
	for _, k := range []struct {
		kind TargetKind
		set  bool
	}{
		{WebhookKind, t.Webhook != nil}, {ReviewKind, t.Review != nil}, {LogKind, t.Log != nil},
		{SandboxKind, t.Sandbox != nil}, {AzureMLKind, t.AzureML != nil}, {BatchKind, t.Batch != nil},
		{GitHubKind, t.GitHub != nil}, {AzureDevOpsKind, t.AzureDevOps != nil}, {RollbackKind, t.Rollback != nil},
		{AlertmanagerKind, t.Alertmanager != nil}, {PagerDutyKind, t.PagerDuty != nil}, {GitHubIssueKind, t.GitHubIssue != nil},
		{WorkItemKind, t.WorkItem != nil}, {JiraKind, t.Jira != nil}, {ServiceNowKind, t.ServiceNow != nil},
		{SlackKind, t.Slack != nil}, {TeamsKind, t.Teams != nil}, {EmailKind, t.Email != nil},
	} {
		if k.set {
			out = append(out, k.kind)
		}
	}
	return out
}

// Accepts reports whether a target of this kind can perform the action type.
func (k TargetKind) Accepts(t ActionType) bool {
	switch k {
	case WebhookKind, LogKind:
		return true
	case ReviewKind, PagerDutyKind, GitHubIssueKind, WorkItemKind, JiraKind, ServiceNowKind:
		return t == Review
	case AlertmanagerKind, SlackKind, TeamsKind, EmailKind:
		return t == Review || t == Notify
	case SandboxKind, AzureMLKind, BatchKind, GitHubKind, AzureDevOpsKind:
		return t == Retrain
	case RollbackKind:
		return t == Rollback
	}
	return false
}

// Ticketed reports whether targets of this kind are told what becomes of a
// review: they have a ticket of it, or are a webhook.
func (k TargetKind) Ticketed() bool {
	switch k {
	case WebhookKind, AlertmanagerKind, PagerDutyKind, GitHubIssueKind, WorkItemKind, JiraKind, ServiceNowKind, SlackKind, TeamsKind, EmailKind:
		return true
	}
	return false
}

// Target finds a target by name; desk is there without an entry.
func (f *File) Target(name string) (Target, bool) {
	t, ok := f.Targets[name]
	if !ok && name == Desk {
		return Target{Review: &ReviewTarget{}}, true
	}
	return t, ok
}
