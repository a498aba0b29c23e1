package ml

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Submit implements azureml.Operator. It looks before it writes: writing to
// the name of a job that exists would replace its tags.
func (c *Client) Submit(ctx context.Context, ws event.Workspace, spec azureml.JobSpec) (azureml.Job, bool, error) {
	doing := "submit job " + spec.Name
	p, err := c.at(ws)
	if err != nil {
		return azureml.Job{}, false, fault(doing, err)
	}
	job, err := c.job(ctx, p, spec.Name)
	if err == nil || !isNotFound(err) {
		return job, false, fault(doing, err)
	}
	body, err := c.pipelineJob(ctx, p, spec)
	if err != nil {
		return azureml.Job{}, false, fault(doing, err)
	}
	job, created, err := c.putJob(ctx, p, spec.Name, body)
	if errors.Is(fault(doing, err), lineage.ErrConflict) { // somebody was faster
		job, err = c.job(ctx, p, spec.Name)
		created = false
	}
	return job, created, fault(doing, err)
}

func (c *Client) putJob(ctx context.Context, p place, name string, body armmachinelearning.JobBase) (azureml.Job, bool, error) {
	answer, status, err := read(ctx, func(ctx context.Context) error {
		_, err := p.clients.NewJobsClient().CreateOrUpdate(ctx, p.group, p.name, name, body, nil)
		return err
	})
	if err != nil {
		return azureml.Job{}, false, err
	}
	job, err := readJob(p, answer)
	return job, status == http.StatusCreated, err
}

func (c *Client) pipelineJob(ctx context.Context, p place, spec azureml.JobSpec) (armmachinelearning.JobBase, error) {
	job := &armmachinelearning.PipelineJob{
		JobType:        to.Ptr(armmachinelearning.JobTypePipeline),
		ComponentID:    to.Ptr(p.long("components", spec.Component)),
		ExperimentName: optional(spec.Experiment), DisplayName: optional(spec.DisplayName),
		Tags: make(map[string]*string, len(spec.Tags)), Inputs: map[string]armmachinelearning.JobInputClassification{},
	}
	for k, v := range spec.Tags {
		job.Tags[k] = to.Ptr(v)
	}
	if spec.Compute != "" {
		compute := spec.Compute
		if !strings.Contains(compute, "/") {
			compute = p.id() + "/computes/" + compute
		}
		job.Settings = map[string]any{"default_compute": compute}
	}
	for name, value := range spec.Inputs {
		in, err := c.input(ctx, p, value)
		if err != nil {
			return armmachinelearning.JobBase{}, fmt.Errorf("input %s: %w", name, err)
		}
		job.Inputs[name] = in
	}
	return armmachinelearning.JobBase{Properties: job}, nil
}

// input is a job's input: a version of a data asset, its newest where a label
// or nothing stands for the version, or a literal.
func (c *Client) input(ctx context.Context, p place, value any) (armmachinelearning.JobInputClassification, error) {
	text, err := literal(value)
	if err != nil {
		return nil, err
	}
	if strings.Contains(text, "://") {
		return dataInput("uri_folder", text), nil
	}
	if !strings.HasPrefix(text, "azureml:") {
		return &armmachinelearning.LiteralJobInput{JobInputType: to.Ptr(armmachinelearning.JobInputTypeLiteral), Value: to.Ptr(text)}, nil
	}
	name, version := versioned(text, "data")
	kind, latest, err := c.dataAsset(ctx, p, name)
	if err != nil {
		return nil, err
	}
	if version = cmp.Or(version, latest); version == "" {
		return nil, fmt.Errorf("data asset %s has no version: %w", name, lineage.ErrNotFound)
	}
	return dataInput(kind, "azureml:"+name+":"+version), nil
}

// literal writes a value the way a literal input carries it: as text.
func literal(value any) (string, error) {
	if s, ok := value.(string); ok {
		return s, nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return "", notUnderstood(fmt.Errorf("%T is no literal: %w", value, err))
	}
	return string(b), nil
}

func dataInput(kind, uri string) armmachinelearning.JobInputClassification {
	switch kind {
	case "uri_file":
		return &armmachinelearning.URIFileJobInput{JobInputType: to.Ptr(armmachinelearning.JobInputTypeURIFile), URI: to.Ptr(uri)}
	case "mltable":
		return &armmachinelearning.MLTableJobInput{JobInputType: to.Ptr(armmachinelearning.JobInputTypeMltable), URI: to.Ptr(uri)}
	}
	return &armmachinelearning.URIFolderJobInput{JobInputType: to.Ptr(armmachinelearning.JobInputTypeURIFolder), URI: to.Ptr(uri)}
}

// dataAsset is what a data asset holds and its newest version.
func (c *Client) dataAsset(ctx context.Context, p place, name string) (kind, latest string, err error) {
	got, err := p.clients.NewDataContainersClient().Get(ctx, p.group, p.name, name, nil)
	if err != nil || got.Properties == nil {
		return "", "", err
	}
	if t := got.Properties.DataType; t != nil {
		kind = string(*t)
	}
	if v := got.Properties.LatestVersion; v != nil {
		latest = *v
	}
	return kind, latest, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
