package ml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// modelResource is a model version as ARM has it ("Model Versions", Azure
// Machine Learning REST API).
type modelResource struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	SystemData systemData `json:"systemData"`
	Properties struct {
		JobName     string            `json:"jobName"`
		Stage       string            `json:"stage"`
		ModelType   string            `json:"modelType"`
		ModelURI    string            `json:"modelUri"`
		IsArchived  bool              `json:"isArchived"`
		Description string            `json:"description"`
		Tags        map[string]string `json:"tags"`
		Properties  map[string]string `json:"properties"`
	} `json:"properties"`
}

func (r *modelResource) model(name string) azureml.ModelVersion {
	m := &r.Properties
	return azureml.ModelVersion{
		Name: name, Version: r.Name, Job: m.JobName, Stage: m.Stage, Type: m.ModelType, URI: m.ModelURI,
		Archived: m.IsArchived, Description: m.Description, Tags: m.Tags, Properties: m.Properties,
		Created: r.SystemData.CreatedAt, LastModified: r.SystemData.LastModifiedAt,
	}
}

// ModelVersion implements azureml.Source.
func (c *Client) ModelVersion(ctx context.Context, ws event.Workspace, name, version string) (azureml.ModelVersion, error) {
	doing := "read model " + name + ":" + version
	p, err := c.at(ws)
	if err != nil {
		return azureml.ModelVersion{}, fault(doing, err)
	}
	body, _, err := read(ctx, func(ctx context.Context) error {
		_, err := p.clients.NewModelVersionsClient().Get(ctx, p.group, p.name, name, version, nil)
		return err
	})
	if err != nil {
		return azureml.ModelVersion{}, fault(doing, err)
	}
	var r modelResource
	if err := json.Unmarshal(body, &r); err != nil {
		return azureml.ModelVersion{}, fault(doing, fmt.Errorf("a model version: %w", err))
	}
	return r.model(name), nil
}

// modelCursor is where a walk over all versions of all models stands: Azure
// lists versions model by model.
type modelCursor struct {
	// Containers leads to the next page of models; Names are those of the
	// present page that are still to come, the first of them at Versions.
	Containers string   `json:"c,omitempty"`
	Names      []string `json:"n,omitempty"`
	Versions   string   `json:"v,omitempty"`
}

// ModelVersions implements azureml.Lister. A page is one of the versions of
// one model; it may be empty.
func (c *Client) ModelVersions(ctx context.Context, ws event.Workspace, cursor string) ([]azureml.ModelVersion, string, error) {
	const doing = "list model versions"
	p, err := c.at(ws)
	if err != nil {
		return nil, "", fault(doing, err)
	}
	var at modelCursor
	if cursor != "" {
		if err := json.Unmarshal([]byte(cursor), &at); err != nil {
			return nil, "", fault(doing, notUnderstood(errors.New("the cursor is not one of this listing")))
		}
	}
	models, err := c.nextVersions(ctx, p, &at, cursor == "")
	if err != nil {
		return nil, "", fault(doing, err)
	}
	if at.Containers == "" && len(at.Names) == 0 {
		return models, "", nil
	}
	next, err := json.Marshal(at)
	return models, string(next), err
}

// nextVersions reads a page of versions and moves the cursor on.
func (c *Client) nextVersions(ctx context.Context, p place, at *modelCursor, start bool) ([]azureml.ModelVersion, error) {
	if len(at.Names) == 0 {
		if err := c.nextModels(ctx, p, at, start); err != nil || len(at.Names) == 0 {
			return nil, err
		}
	}
	name := at.Names[0]
	list, err := page[modelResource](ctx, c, p.clients.NewModelVersionsClient().NewListPager(p.group, p.name, name, nil), at.Versions)
	if err != nil && !isNotFound(err) { // a model may be gone since its page was read
		return nil, err
	}
	out := make([]azureml.ModelVersion, len(list.Value))
	for i := range list.Value {
		out[i] = list.Value[i].model(name)
	}
	if at.Versions = list.NextLink; at.Versions == "" {
		at.Names = at.Names[1:]
	}
	return out, nil
}

func (c *Client) nextModels(ctx context.Context, p place, at *modelCursor, start bool) error {
	if at.Containers == "" && !start {
		return nil
	}
	list, err := page[modelResource](ctx, c, p.clients.NewModelContainersClient().NewListPager(p.group, p.name, nil), at.Containers)
	if err != nil {
		return err
	}
	at.Containers = list.NextLink
	for i := range list.Value {
		at.Names = append(at.Names, list.Value[i].Name)
	}
	return nil
}

func isNotFound(err error) bool { return errors.Is(fault("", err), lineage.ErrNotFound) }

// tagTries bounds how often TagModel repeats a write that was lost.
const tagTries = 3

// TagModel implements azureml.Operator. Model versions have no ETag and no
// partial update: what another client writes between our read and our write is
// lost, and the other way round; only the latter can be seen afterwards.
func (c *Client) TagModel(ctx context.Context, ws event.Workspace, name, version string, tags map[string]string) error {
	doing := "tag model " + name + ":" + version
	p, err := c.at(ws)
	if err != nil {
		return fault(doing, err)
	}
	client := p.clients.NewModelVersionsClient()
	for range tagTries {
		got, err := client.Get(ctx, p.group, p.name, name, version, nil)
		if err != nil {
			return fault(doing, err)
		}
		if !retag(&got.ModelVersion, tags) {
			return nil
		}
		if _, err := client.CreateOrUpdate(ctx, p.group, p.name, name, version, got.ModelVersion, nil); err != nil {
			return fault(doing, err)
		}
	}
	got, err := client.Get(ctx, p.group, p.name, name, version, nil)
	if err == nil && retag(&got.ModelVersion, tags) {
		err = fmt.Errorf("another client keeps overwriting the tags: %w", lineage.ErrConflict)
	}
	return fault(doing, err)
}

// retag changes the tags of a version as asked and says whether that changed
// anything.
func retag(m *armmachinelearning.ModelVersion, tags map[string]string) (changed bool) {
	if m.Properties == nil {
		m.Properties = &armmachinelearning.ModelVersionProperties{}
	}
	if m.Properties.Tags == nil {
		m.Properties.Tags = map[string]*string{}
	}
	has := m.Properties.Tags
	for k, v := range tags {
		old, known := has[k]
		switch {
		case v == "" && known:
			delete(has, k)
			changed = true
		case v != "" && (old == nil || *old != v):
			has[k] = to.Ptr(v)
			changed = true
		}
	}
	return changed
}
