package policy

// GitHubTarget starts a GitHub Actions workflow: by workflow_dispatch
// (Workflow and Ref), or by repository_dispatch (Event).
type GitHubTarget struct {
	Owner string `yaml:"owner" json:"owner"`
	Repo  string `yaml:"repo" json:"repo"`
	// Workflow is the workflow's file name, "retrain.yml".
	Workflow string `yaml:"workflow,omitempty" json:"workflow,omitempty"`
	// Ref is the branch or tag that the workflow runs on. Defaults to main.
	Ref string `yaml:"ref,omitempty" json:"ref,omitempty"`
	// Event is the type of a repository_dispatch.
	Event string `yaml:"event,omitempty" json:"event,omitempty"`
	// Inputs are the workflow's; of a repository_dispatch they are
	// client_payload.inputs. A text may hold expressions, see Template. The
	// action's key is added to them as modelwarden_key.
	Inputs map[string]any `yaml:"inputs,omitempty" json:"inputs,omitempty"`
	// URL is the API's address, for GitHub Enterprise Server
	// ("https://ghe.contoso.example/api/v3"). Defaults to
	// https://api.github.com.
	URL   string `yaml:"url,omitempty" json:"url,omitempty"`
	Token `yaml:",inline"`
}

// AzureDevOpsTarget runs an Azure DevOps pipeline.
type AzureDevOpsTarget struct {
	Organization string `yaml:"organization" json:"organization"`
	Project      string `yaml:"project" json:"project"`
	// Pipeline is the pipeline's id, a number: definitionId in its address.
	Pipeline int `yaml:"pipeline" json:"pipeline"`
	// Ref is the branch or tag, "refs/heads/main". Defaults to the pipeline's
	// own.
	Ref string `yaml:"ref,omitempty" json:"ref,omitempty"`
	// Parameters are the pipeline's template parameters. A text may hold
	// expressions, see Template. The action's key is added to them as
	// modelwarden_key.
	Parameters map[string]any `yaml:"parameters,omitempty" json:"parameters,omitempty"`
	// URL is the server's, for Azure DevOps Server. Defaults to
	// https://dev.azure.com.
	URL   string `yaml:"url,omitempty" json:"url,omitempty"`
	Token `yaml:",inline"`
}

// Token says how to call a service that wants one.
type Token struct {
	// TokenEnv and TokenFile name where the token is: an environment variable,
	// or a file. One of them is needed.
	TokenEnv  string `yaml:"tokenEnv,omitempty" json:"tokenEnv,omitempty"`
	TokenFile string `yaml:"tokenFile,omitempty" json:"tokenFile,omitempty"`
	// AllowPrivate lists hosts that may be dialled although their address is
	// private. Defaults to none.
	AllowPrivate []string `yaml:"allowPrivate,omitempty" json:"allowPrivate,omitempty"`
	// Timeout is for one attempt. Defaults to the effector's own.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
}
