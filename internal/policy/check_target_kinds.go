package policy

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

// keyInput is the input that carries the action's key; see GitHubTarget.
const keyInput = "modelwarden_key"

// inputs are flat: what a job is given are text, numbers and truth values.
func (c *checker) inputs(path string, in map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		at := strictyaml.Join(path, name)
		switch v := in[name].(type) {
		case []any, map[string]any:
			c.fail(at, "wants text, a number, true or false")
		case string:
			if _, err := CompileTemplate(v); err != nil {
				c.fail(at, "%s", err)
			}
		}
	}
}

// keyed checks inputs to which the action's key is added.
func (c *checker) keyed(path string, in map[string]any) {
	c.inputs(path, in)
	if _, taken := in[keyInput]; taken {
		c.fail(strictyaml.Join(path, keyInput), "is set by the sender itself: the action's key")
	}
}

func (c *checker) azureML(path string, t *AzureMLTarget) {
	if !strings.HasPrefix(t.Component, "azureml:") {
		c.fail(path+".component", "wants azureml:<name>:<version>")
	}
	c.duration(path+".timeout", t.Timeout)
	c.inputs(path+".inputs", t.Inputs)
}

func (c *checker) batch(path string, t *BatchTarget) {
	if t.Endpoint == "" {
		c.fail(path+".endpoint", "is missing: name a batch endpoint")
	}
	c.duration(path+".timeout", t.Timeout)
	c.inputs(path+".inputs", t.Inputs)
}

var (
	gitHubName   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	workflowFile = regexp.MustCompile(`^[^/\\?#%]{1,200}\.ya?ml$`)
)

func (c *checker) gitHub(path string, t *GitHubTarget) {
	c.repository(path, t.Owner, t.Repo)
	switch {
	case t.Workflow == "" && t.Event == "":
		c.fail(path, "starts nothing: give workflow (and ref), or event for a repository_dispatch")
	case t.Workflow != "" && t.Event != "":
		c.fail(path, "has workflow and event: choose one")
	case t.Workflow != "" && !workflowFile.MatchString(t.Workflow):
		c.fail(path+".workflow", "wants a workflow's file name such as retrain.yml, without its folder")
	case t.Event != "" && t.Ref != "":
		c.fail(path+".ref", "goes with workflow: a repository_dispatch runs on the default branch")
	case len(t.Event) > 100:
		c.fail(path+".event", "has more than 100 characters")
	}
	c.optionalURL(path+".url", t.URL)
	c.token(path, &t.Token)
	c.keyed(path+".inputs", t.Inputs)
}

// repository checks the names of a GitHub repository.
func (c *checker) repository(path, owner, repo string) {
	for key, v := range map[string]string{".owner": owner, ".repo": repo} {
		if !gitHubName.MatchString(v) || v == "." || v == ".." {
			c.fail(path+key, "wants a name of letters, digits, dot, dash and underscore")
		}
	}
}

// project checks the names of an Azure DevOps project.
func (c *checker) project(path, organization, project string) {
	for key, v := range map[string]string{".organization": organization, ".project": project} {
		if v == "" || v == "." || v == ".." || strings.ContainsAny(v, `/\?#%`) {
			c.fail(path+key, "wants a name, without slashes")
		}
	}
}

func (c *checker) azureDevOps(path string, t *AzureDevOpsTarget) {
	c.project(path, t.Organization, t.Project)
	if t.Pipeline <= 0 {
		c.fail(path+".pipeline", "wants the pipeline's id, a number: definitionId in its address")
	}
	if t.Ref != "" && !strings.HasPrefix(t.Ref, "refs/") {
		c.fail(path+".ref", "wants a full name such as refs/heads/main")
	}
	c.optionalURL(path+".url", t.URL)
	c.token(path, &t.Token)
	c.keyed(path+".parameters", t.Parameters)
}

// token checks the token of a service that wants one.
func (c *checker) token(path string, t *Token) {
	if t.TokenEnv == "" && t.TokenFile == "" {
		c.fail(path, "has no token: name where it is with tokenEnv or tokenFile")
	}
	c.optionalToken(path, t)
}

// optionalToken checks the token of a service that may do without.
func (c *checker) optionalToken(path string, t *Token) {
	if t.TokenEnv != "" && t.TokenFile != "" {
		c.fail(path, "has tokenEnv and tokenFile: choose one")
	}
	c.envName(path+".tokenEnv", t.TokenEnv)
	c.allowPrivate(path+".allowPrivate", t.AllowPrivate)
	c.duration(path+".timeout", t.Timeout)
}

func (c *checker) rollback(path string, t *RollbackTarget) {
	if t.ApprovalTag != "" && t.RequireApproval != nil && !*t.RequireApproval {
		c.fail(path+".approvalTag", "is not looked at: requireApproval is false")
	}
	c.duration(path+".timeout", t.Timeout)
}

// callback checks how a target's own requests are authenticated.
func (c *checker) callback(path string, t *Callback) {
	if t.CallbackSecretEnv != "" && t.CallbackSecretFile != "" {
		c.fail(path, "has callbackSecretEnv and callbackSecretFile: choose one")
	}
	c.envName(path+".callbackSecretEnv", t.CallbackSecretEnv)
}
