package effect

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// serviceTimeout is for one attempt at what is first asked and then told: it
// takes several calls. It is less than the worker's own limit for an effector
// (30 s), so that the error names the target that was slow.
const serviceTimeout = 25 * time.Second

// buildAzureML makes the effectors that act in a workspace.
func buildAzureML(name string, t policy.Target, d *Deps) (policy.Effector, error) {
	if d.AzureML == nil {
		return unavailable{errNoAzureML}, nil
	}
	var e policy.Effector
	var err error
	var timeout policy.Duration
	switch {
	case t.AzureML != nil:
		timeout = t.AzureML.Timeout
		e, err = NewPipeline(PipelineOptions{Target: *t.AzureML, Submit: d.AzureML.Submit, Workspace: d.Workspace, Records: d.records()})
	case t.Batch != nil:
		timeout = t.Batch.Timeout
		e, err = NewBatch(BatchOptions{Target: *t.Batch, Invoke: d.AzureML.InvokeBatch, Workspace: d.Workspace, Records: d.records()})
	default:
		timeout = t.Rollback.Timeout
		if d.Store == nil {
			return nil, errors.New("store: is missing: a rollback writes down what it is going to do")
		}
		e = NewRollback(RollbackOptions{Target: *t.Rollback, AzureML: d.AzureML, Workspace: d.Workspace, Store: d.Store, Now: d.Now})
	}
	if err != nil {
		return nil, err
	}
	return Guard(e, GuardOptions{Target: name, Timeout: cmp.Or(time.Duration(timeout), serviceTimeout), Observer: d.Observer}), nil
}

func buildGitHub(name string, t *policy.GitHubTarget, d *Deps) (policy.Effector, error) {
	token, client, err := d.caller(name, policy.GitHubKind, &t.Token)
	if err != nil {
		return nil, err
	}
	g, err := NewGitHub(GitHubOptions{Target: *t, Token: token, Records: d.records(), Client: client, UserAgent: d.userAgent(), Now: d.Now})
	if err != nil {
		return nil, err
	}
	return d.guardToken(name, g, &t.Token), nil
}

func buildAzureDevOps(name string, t *policy.AzureDevOpsTarget, d *Deps) (policy.Effector, error) {
	token, client, err := d.caller(name, policy.AzureDevOpsKind, &t.Token)
	if err != nil {
		return nil, err
	}
	v, err := NewAzureDevOps(AzureDevOpsOptions{Target: *t, Token: token, Records: d.records(), Client: client, UserAgent: d.userAgent(), Now: d.Now})
	if err != nil {
		return nil, err
	}
	return d.guardToken(name, v, &t.Token), nil
}

// caller reads a service's token and makes the client to call it.
func (d *Deps) caller(name string, kind policy.TargetKind, t *policy.Token) (token string, client *http.Client, err error) {
	if token, err = readToken(t, d.LookupEnv); err != nil {
		return "", nil, err
	}
	client, err = NewClient(Dialing{
		AllowLoopback: d.AllowLoopback, AllowPrivate: t.AllowPrivate, Resolver: d.Resolver,
		Setting: "targets." + name + "." + string(kind) + ".allowPrivate",
	})
	return token, client, err
}

func (d *Deps) guardToken(name string, e policy.Effector, t *policy.Token) policy.Effector {
	return Guard(e, GuardOptions{Target: name, Timeout: cmp.Or(time.Duration(t.Timeout), serviceTimeout), Observer: d.Observer})
}
