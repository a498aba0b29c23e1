package effect

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// Facts of Azure DevOps' REST API 7.1 ("Runs - Run Pipeline", "Builds - List").
const (
	azureDevOps           = "https://dev.azure.com"
	azureDevOpsAPIVersion = "7.1"
	azureDevOpsPageSize   = 100
)

// AzureDevOpsOptions configure an AzureDevOps.
type AzureDevOpsOptions struct {
	// Target is the policy file's, Token the personal access token that its
	// tokenEnv or tokenFile held.
	Target policy.AzureDevOpsTarget
	Token  string
	// Records are the lineage that parameters may ask; a lineage.Store.
	Records records
	// Client is one of NewClient's.
	Client    *http.Client
	UserAgent string
	// Now is the clock.
	Now func() time.Time
}

// AzureDevOps retrains by a run of an Azure DevOps pipeline.
//
// Azure DevOps drops no repeats, so the key is looked up first, among the
// pipeline's runs since the action was decided: a build tells the template
// parameters it was run with. The pipeline has to declare the one that the key
// is in,
//
//	parameters: [{name: modelwarden_key, type: string, default: ""}]
//
// and may show it in its run's name (name: $(Build.BuildId)-${{
// parameters.modelwarden_key }}), which is looked at as well. The token needs
// the scope Build (read and execute).
type AzureDevOps struct {
	api    rest
	o      AzureDevOpsOptions
	inputs inputs
}

// NewAzureDevOps checks the options. Its errors do not repeat the token.
func NewAzureDevOps(o AzureDevOpsOptions) (*AzureDevOps, error) {
	api, err := azureDevOpsREST(o.Target.URL, o.Token, o.Client, o.UserAgent)
	if err != nil {
		return nil, err
	}
	in, err := newInputs(o.Target.Parameters)
	if err != nil {
		return nil, fmt.Errorf("parameters.%w", err)
	}
	return &AzureDevOps{o: o, inputs: in, api: api}, nil
}

// azureDevOpsREST is how Azure DevOps' API is called; url is "" for Microsoft's
// own service.
func azureDevOpsREST(url, token string, client *http.Client, userAgent string) (rest, error) {
	base, err := parseURL(cmp.Or(url, azureDevOps))
	if err != nil {
		return rest{}, err
	}
	// A personal access token is the password of any user name.
	credential := base64.StdEncoding.EncodeToString([]byte(":" + token))
	return rest{
		base: base, client: client, userAgent: userAgent, hide: newRedactor(token, credential),
		header: http.Header{"Accept": {"application/json"}, "Authorization": {"Basic " + credential}},
	}, nil
}

// Do implements policy.Effector for retrain actions: one attempt.
func (d *AzureDevOps) Do(ctx context.Context, a policy.Action) (policy.Outcome, error) {
	if err := onlyRetrain(policy.AzureDevOpsKind, a); err != nil {
		return policy.Outcome{}, err
	}
	values, err := d.inputs.texts(ctx, d.o.Records, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	found, err := d.find(ctx, a)
	if err != nil {
		return policy.Outcome{}, err
	}
	if found != nil {
		return d.outcome(found, "found run %d of %s started before"), nil
	}
	values[keyInput] = a.Key
	made, err := d.run(ctx, values)
	if err != nil {
		return policy.Outcome{}, uncertain(err)
	}
	return d.outcome(made, "started run %d of %s"), nil
}

func (d *AzureDevOps) name() string {
	return fmt.Sprintf("pipeline %d of %s/%s", d.o.Target.Pipeline, d.o.Target.Organization, d.o.Target.Project)
}

func (d *AzureDevOps) project(path string) string {
	return url.PathEscape(d.o.Target.Organization) + "/" + url.PathEscape(d.o.Target.Project) + "/_apis/" + path
}

// devOpsRun is the part of a build, and of a pipeline's run, that is read
// here: they are the same thing under the same id.
type devOpsRun struct {
	ID                 int64          `json:"id"`
	BuildNumber        string         `json:"buildNumber"`
	TemplateParameters map[string]any `json:"templateParameters"`
	Links              struct {
		Web struct {
			Href string `json:"href"`
		} `json:"web"`
	} `json:"_links"`
}

func (r *devOpsRun) has(key string) bool {
	return r.TemplateParameters[keyInput] == key || strings.Contains(r.BuildNumber, key)
}

// find looks for the run that has the action's key; nil when there is none.
func (d *AzureDevOps) find(ctx context.Context, a policy.Action) (*devOpsRun, error) {
	query := url.Values{
		"api-version": {azureDevOpsAPIVersion}, "definitions": {strconv.Itoa(d.o.Target.Pipeline)},
		"minTime":    {a.Created.Add(-listingSkew).UTC().Format(time.RFC3339)},
		"queryOrder": {"queueTimeDescending"}, "$top": {strconv.Itoa(azureDevOpsPageSize)},
	}
	for range maxListingPages {
		ans, err := d.exchange(ctx, http.MethodGet, d.project("build/builds"), query, nil)
		if err != nil {
			return nil, err
		}
		var list struct {
			Value []devOpsRun `json:"value"`
		}
		if err := d.api.read(ans, &list); err != nil {
			return nil, err
		}
		for i := range list.Value {
			if list.Value[i].has(a.Key) {
				return &list.Value[i], nil
			}
		}
		next := ans.header.Get("X-Ms-Continuationtoken")
		if next == "" {
			return nil, nil
		}
		query.Set("continuationToken", next)
	}
	return nil, tooManyRuns(d.name())
}

// run starts the pipeline.
func (d *AzureDevOps) run(ctx context.Context, parameters map[string]string) (*devOpsRun, error) {
	body := map[string]any{"templateParameters": parameters}
	if ref := d.o.Target.Ref; ref != "" {
		body["resources"] = map[string]any{"repositories": map[string]any{"self": map[string]any{"refName": ref}}}
	}
	path := d.project("pipelines/" + strconv.Itoa(d.o.Target.Pipeline) + "/runs")
	ans, err := d.exchange(ctx, http.MethodPost, path, url.Values{"api-version": {azureDevOpsAPIVersion}}, body)
	if err != nil {
		return nil, err
	}
	var made devOpsRun
	return &made, d.api.read(ans, &made)
}

func (d *AzureDevOps) exchange(ctx context.Context, method, path string, query url.Values, body any) (*answer, error) {
	ans, err := d.api.send(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	if ans.status != http.StatusOK {
		return nil, d.failure(ans)
	}
	return ans, nil
}

// failure sorts an answer that is not a success and says what to check.
func (d *AzureDevOps) failure(ans *answer) error {
	return azureDevOpsFailure(ans, &d.api, d.o.Now(), func(status int) string {
		switch status {
		case http.StatusBadRequest:
			return "check that the pipeline declares all of the target's parameters and modelwarden_key, and that ref exists"
		case http.StatusForbidden:
			return "the token needs the scope Build (read and execute), and its user the right to queue builds of the pipeline"
		case http.StatusNotFound:
			return "check organization, project and pipeline, and that the token may see them"
		}
		return ""
	})
}

// azureDevOpsFailure sorts an answer of Azure DevOps' that is not a success. To
// a token that it does not accept it shows its sign-in page, by 203 or by a
// redirect. advice says what to check, by the status of a refusal.
func azureDevOpsFailure(ans *answer, api *rest, now time.Time, advice func(status int) string) error {
	switch ans.status {
	case http.StatusNonAuthoritativeInfo, http.StatusFound, http.StatusUnauthorized:
		return &policy.PermanentError{Err: fmt.Errorf("%s answered %d: the token is not accepted: check that it has not expired", place(api.base), ans.status)}
	}
	return hint(statusError(ans, api.base, now, api.hide), advice(ans.status))
}

func (d *AzureDevOps) outcome(r *devOpsRun, format string) policy.Outcome {
	return policy.Outcome{
		Summary: fmt.Sprintf(format, r.ID, d.name()),
		URL:     shownLink(r.Links.Web.Href), Ref: strconv.FormatInt(r.ID, 10),
	}
}
