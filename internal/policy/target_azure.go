package policy

// AzureMLTarget starts a pipeline job in an Azure ML workspace.
type AzureMLTarget struct {
	// Workspace is an alias. Defaults to the workspace of the event.
	Workspace string `yaml:"workspace,omitempty" json:"workspace,omitempty"`
	// Component is "azureml:<name>:<version>".
	Component  string `yaml:"component" json:"component"`
	Experiment string `yaml:"experiment,omitempty" json:"experiment,omitempty"`
	// Inputs are the component's: text, numbers, truth values, and
	// "azureml:<data>:<version>" for data assets. A text may hold expressions,
	// see Template.
	Inputs map[string]any `yaml:"inputs,omitempty" json:"inputs,omitempty"`
	// Compute is the compute target's name. Defaults to what the component
	// says.
	Compute string `yaml:"compute,omitempty" json:"compute,omitempty"`
	// Timeout is for one attempt to start. Defaults to the effector's own.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
}

// BatchTarget invokes a batch endpoint of an Azure ML workspace.
type BatchTarget struct {
	// Workspace is an alias. Defaults to the workspace of the event.
	Workspace string `yaml:"workspace,omitempty" json:"workspace,omitempty"`
	Endpoint  string `yaml:"endpoint" json:"endpoint"`
	// Deployment is one of the endpoint's. Defaults to its default one.
	Deployment string `yaml:"deployment,omitempty" json:"deployment,omitempty"`
	// Inputs are as in AzureMLTarget.
	Inputs map[string]any `yaml:"inputs,omitempty" json:"inputs,omitempty"`
	// Timeout is for one attempt to start. Defaults to the effector's own.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
}

// RollbackTarget shifts an online endpoint's traffic back to the last
// deployment whose model was healthy and approved.
type RollbackTarget struct {
	// Workspace is an alias. Defaults to the workspace of the event.
	Workspace string `yaml:"workspace,omitempty" json:"workspace,omitempty"`
	// Endpoint is a managed online endpoint's name. Defaults to the one that
	// the event speaks of; a monitor's event speaks of none.
	Endpoint string `yaml:"endpoint,omitempty" json:"endpoint,omitempty"`
	// ApprovalTag is the tag, or property, of a model version that says "true"
	// when it may be rolled back to. Defaults to modelwarden.approved.
	ApprovalTag string `yaml:"approvalTag,omitempty" json:"approvalTag,omitempty"`
	// RequireApproval false makes do without the tag. Defaults to true.
	RequireApproval *bool `yaml:"requireApproval,omitempty" json:"requireApproval,omitempty"`
	// DryRun says what would be done and does nothing. Defaults to true:
	// write dryRun: false to shift traffic.
	DryRun *bool `yaml:"dryRun,omitempty" json:"dryRun,omitempty"`
	// Timeout is for one attempt. Defaults to the effector's own.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
}
