package policy

// The targets of this file show reviews to on-call in the tool that they use.
// What one review is there (an alert, an incident, an issue, a message) is
// called its ticket. A review has one ticket per target, found again by the
// review's id, which the target's own key carries.

// AlertmanagerTarget is a Prometheus Alertmanager: each review is an alert
// there, so that its routes, receivers and silences apply.
type AlertmanagerTarget struct {
	// URL is the server's, with its path prefix if it has one. Of a cluster,
	// list the others in Peers: every one is told.
	URL   string   `yaml:"url" json:"url"`
	Peers []string `yaml:"peers,omitempty" json:"peers,omitempty"`
	// Labels are added to every alert.
	Labels map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
	// User is for basic authentication, with the token as the password;
	// without it, the token is sent as a bearer token. Without a token there is
	// no authentication.
	User  string `yaml:"user,omitempty" json:"user,omitempty"`
	Token `yaml:",inline"`
}

// PagerDutyTarget is a PagerDuty service: Events API v2 outwards, a webhook v3
// subscription back.
type PagerDutyTarget struct {
	// URL is the Events API's. Defaults to https://events.pagerduty.com, use
	// https://events.eu.pagerduty.com for accounts in the EU.
	URL string `yaml:"url,omitempty" json:"url,omitempty"`
	// Token is the integration's routing key.
	Token    `yaml:",inline"`
	Callback `yaml:",inline"`
}

// GitHubIssueTarget opens an issue per review.
type GitHubIssueTarget struct {
	Owner string `yaml:"owner" json:"owner"`
	Repo  string `yaml:"repo" json:"repo"`
	// Labels and Assignees are given to new issues.
	Labels    []string `yaml:"labels,omitempty" json:"labels,omitempty"`
	Assignees []string `yaml:"assignees,omitempty" json:"assignees,omitempty"`
	// URL is the API's address, for GitHub Enterprise Server
	// ("https://ghe.contoso.example/api/v3"). Defaults to
	// https://api.github.com.
	URL      string `yaml:"url,omitempty" json:"url,omitempty"`
	Token    `yaml:",inline"`
	Callback `yaml:",inline"`
}

// WorkItemTarget opens an Azure DevOps work item per review.
type WorkItemTarget struct {
	Organization string `yaml:"organization" json:"organization"`
	Project      string `yaml:"project" json:"project"`
	// Type is the work item's. Defaults to Issue.
	Type string `yaml:"type,omitempty" json:"type,omitempty"`
	// Area and Iteration are paths; the project's own by default.
	Area      string   `yaml:"area,omitempty" json:"area,omitempty"`
	Iteration string   `yaml:"iteration,omitempty" json:"iteration,omitempty"`
	Tags      []string `yaml:"tags,omitempty" json:"tags,omitempty"`
	// States names the work item's state for each of a review's: open,
	// acknowledged, resolved. Defaults to To Do, Doing, Done.
	States TicketStates `yaml:"states,omitempty" json:"states,omitzero"`
	// URL is the server's, for Azure DevOps Server. Defaults to
	// https://dev.azure.com.
	URL      string `yaml:"url,omitempty" json:"url,omitempty"`
	Token    `yaml:",inline"`
	Callback `yaml:",inline"`
}

// JiraTarget opens a Jira issue per review.
type JiraTarget struct {
	// URL is the site's, "https://contoso.atlassian.net".
	URL     string `yaml:"url" json:"url"`
	Project string `yaml:"project" json:"project"`
	// Type is the issue type's name. Defaults to Task.
	Type   string   `yaml:"type,omitempty" json:"type,omitempty"`
	Labels []string `yaml:"labels,omitempty" json:"labels,omitempty"`
	// Priorities names Jira's priority for a severity; none is set for a
	// severity that is not named.
	Priorities map[string]string `yaml:"priorities,omitempty" json:"priorities,omitempty"`
	// States names the status that stands for each of a review's states:
	// open, acknowledged, resolved. Defaults to To Do, In Progress, Done.
	States TicketStates `yaml:"states,omitempty" json:"states,omitzero"`
	// User is the account's e-mail address on Jira Cloud, whose API token is
	// the Token; without it the token is sent as a bearer token (a personal
	// access token of Jira Data Center).
	User     string `yaml:"user,omitempty" json:"user,omitempty"`
	Token    `yaml:",inline"`
	Callback `yaml:",inline"`
}

// ServiceNowTarget opens an incident per review.
type ServiceNowTarget struct {
	// URL is the instance's, "https://contoso.service-now.com".
	URL string `yaml:"url" json:"url"`
	// AssignmentGroup, Category and CallerID are given to new incidents: a
	// group's sys_id, a category's value, a user's sys_id.
	AssignmentGroup string `yaml:"assignmentGroup,omitempty" json:"assignmentGroup,omitempty"`
	Category        string `yaml:"category,omitempty" json:"category,omitempty"`
	CallerID        string `yaml:"callerId,omitempty" json:"callerId,omitempty"`
	// CloseCode is what resolved incidents get. Defaults to "Solution
	// provided".
	CloseCode string `yaml:"closeCode,omitempty" json:"closeCode,omitempty"`
	// User is for basic authentication, with the token as the password;
	// without it, the token is sent as a bearer token.
	User     string `yaml:"user,omitempty" json:"user,omitempty"`
	Token    `yaml:",inline"`
	Callback `yaml:",inline"`
}

// SlackTarget posts a message per review, and keeps it up to date.
type SlackTarget struct {
	// Channel is the channel's id (C0123456789); a name works, but ids survive
	// renaming.
	Channel string `yaml:"channel" json:"channel"`
	// Mentions are told when a review opens, escalates or becomes more severe:
	// user ids (U...), user group ids (S...), or here; at most 20.
	Mentions []string `yaml:"mentions,omitempty" json:"mentions,omitempty"`
	// URL is the Web API's. Defaults to https://slack.com/api.
	URL string `yaml:"url,omitempty" json:"url,omitempty"`
	// Token is a bot token with chat:write, and channels:history (groups:history
	// for a private channel): without it a crash may post a message twice.
	Token `yaml:",inline"`
}

// TeamsTarget posts an Adaptive Card per change that is worth a message, to a
// Microsoft Teams workflow ("When a Teams webhook request is received"). Such
// a webhook can't change what it posted before.
type TeamsTarget struct {
	// Token is the workflow's address, which is a secret.
	Token `yaml:",inline"`
}

// EmailTarget sends a mail per change that is worth one, all of one review in
// one thread.
type EmailTarget struct {
	// Host and Port are the SMTP server's. The port defaults to 587.
	Host string `yaml:"host" json:"host"`
	Port int    `yaml:"port,omitempty" json:"port,omitempty"`
	From string `yaml:"from" json:"from"`
	// To are at most 50 addresses.
	To []string `yaml:"to" json:"to"`
	// TLS is starttls, implicit (port 465), or none, which is refused together
	// with a password unless the server is on loopback. Defaults to starttls.
	TLS string `yaml:"tls,omitempty" json:"tls,omitempty"`
	// User logs in, with the token as the password. Defaults to no login.
	User  string `yaml:"user,omitempty" json:"user,omitempty"`
	Token `yaml:",inline"`
}

// TicketStates names a tracker's states.
type TicketStates struct {
	Open         string `yaml:"open,omitempty" json:"open,omitempty"`
	Acknowledged string `yaml:"acknowledged,omitempty" json:"acknowledged,omitempty"`
	Resolved     string `yaml:"resolved,omitempty" json:"resolved,omitempty"`
}

// Callback is how a target's own requests to /callbacks/<target> are
// authenticated. Without it they are refused.
type Callback struct {
	// CallbackSecretEnv and CallbackSecretFile name where the secret is that
	// the tool signs its requests with, or sends along.
	CallbackSecretEnv  string `yaml:"callbackSecretEnv,omitempty" json:"callbackSecretEnv,omitempty"`
	CallbackSecretFile string `yaml:"callbackSecretFile,omitempty" json:"callbackSecretFile,omitempty"`
}

// Token is how the target is called; nil for kinds that have none of it.
func (t Target) Token() *Token {
	switch {
	case t.GitHub != nil:
		return &t.GitHub.Token
	case t.AzureDevOps != nil:
		return &t.AzureDevOps.Token
	case t.Alertmanager != nil:
		return &t.Alertmanager.Token
	case t.PagerDuty != nil:
		return &t.PagerDuty.Token
	case t.GitHubIssue != nil:
		return &t.GitHubIssue.Token
	case t.WorkItem != nil:
		return &t.WorkItem.Token
	case t.Jira != nil:
		return &t.Jira.Token
	case t.ServiceNow != nil:
		return &t.ServiceNow.Token
	case t.Slack != nil:
		return &t.Slack.Token
	case t.Teams != nil:
		return &t.Teams.Token
	case t.Email != nil:
		return &t.Email.Token
	}
	return nil
}

// Callback is how the target's tool authenticates what it sends back; nil for
// kinds whose tools send nothing.
func (t Target) Callback() *Callback {
	switch {
	case t.PagerDuty != nil:
		return &t.PagerDuty.Callback
	case t.GitHubIssue != nil:
		return &t.GitHubIssue.Callback
	case t.WorkItem != nil:
		return &t.WorkItem.Callback
	case t.Jira != nil:
		return &t.Jira.Callback
	case t.ServiceNow != nil:
		return &t.ServiceNow.Callback
	}
	return nil
}
