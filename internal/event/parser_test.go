package event_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/modelwarden/modelwarden/internal/event"
)

// parserWith is a parser whose options differ from the defaults.
func parserWith(t *testing.T, change func(*event.Options)) *event.Parser {
	t.Helper()
	o := event.DefaultOptions()
	change(&o)
	p, err := event.NewParser(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// completed is the end of a run with the given payload on top of the usual.
func completed(t *testing.T, p *event.Parser, payload map[string]any) *event.Event {
	t.Helper()
	data := map[string]any{"experimentName": "churn_monitor", "runId": "r1"}
	for k, v := range payload {
		data[k] = v
	}
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Parse(event.Envelope{ID: "1", Source: workspace, Type: "Microsoft.MachineLearningServices.RunCompleted", Data: raw})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAliasNamesTheWorkspaceInAnyCase(t *testing.T) {
	p := parserWith(t, func(o *event.Options) { o.Aliases = map[string]string{strings.ToUpper(workspace) + "/": "Risk"} })
	got := completed(t, p, nil).Workspace
	if want := (event.Workspace{Alias: "Risk", ID: strings.ToLower(workspace)}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestMonitorsModelComesFromConfigurationFirst(t *testing.T) {
	root := map[string]any{"runType": "azureml.PipelineRun"}
	tagged := map[string]any{"runType": "azureml.PipelineRun", "runTags": map[string]string{"Model_Name": "azureml:tagged:3"}}
	for _, c := range []struct {
		name    string
		models  map[string]string
		payload map[string]any
		want    string
	}{
		{"by workspace and monitor", map[string]string{"Contoso-ML/Churn_Monitor": "a", "churn_monitor": "b"}, tagged, "a"},
		{"by monitor", map[string]string{"CHURN_monitor": "b"}, tagged, "b"},
		{"by the run's tag", map[string]string{"other": "c"}, tagged, "tagged"},
		{"by the monitor's name", nil, root, "churn"},
		{"unknown", nil, map[string]any{"runType": "azureml.PipelineRun", "experimentName": "monitoring_"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parserWith(t, func(o *event.Options) { o.MonitorModels = c.models })
			e := completed(t, p, c.payload)
			if e.Kind != event.MonitorPassed || e.Monitor.Model != c.want {
				t.Errorf("%s of %+v, want model %q", e.Kind, e.Monitor, c.want)
			}
		})
	}
}

func TestWhichExperimentsAreMonitors(t *testing.T) {
	pass := func(p *event.Parser, experiment string) bool {
		return completed(t, p, map[string]any{"runType": "azureml.PipelineRun", "experimentName": experiment}).Kind == event.MonitorPassed
	}
	usual := newParser(t)
	own := parserWith(t, func(o *event.Options) {
		o.MonitorExperiments = []string{"watch-?"}
		o.MonitorModels = map[string]string{"nightly": "churn", "contoso-ml/weekly": "churn"}
	})
	none := parserWith(t, func(o *event.Options) { o.MonitorExperiments = []string{} })
	for _, c := range []struct {
		parser     *event.Parser
		experiment string
		want       bool
	}{
		{usual, "churn_monitor", true}, {usual, "Churn-Monitoring", true}, {usual, "monitor_churn", true},
		{usual, "churn-mon", true}, {usual, "churn-train", false}, {usual, "monitor", false}, {usual, "", false},
		{own, "WATCH-1", true}, {own, "churn_monitor", false}, {own, "nightly", true}, {own, "Weekly", true},
		{none, "churn_monitor", false},
	} {
		if got := pass(c.parser, c.experiment); got != c.want {
			t.Errorf("%q: %v, want %v", c.experiment, got, c.want)
		}
	}
}

func TestLinkKeysAreConfigurable(t *testing.T) {
	p := parserWith(t, func(o *event.Options) {
		o.ModelJobKeys = []string{"Trained.By", "also"}
		o.DataInputKeys = []string{"reads"}
	})
	e, err := p.Parse(event.Envelope{ID: "1", Source: workspace, Type: "Microsoft.MachineLearningServices.ModelRegistered", Subject: "models/churn:1",
		Data: []byte(`{"modelProperties":{"azureml.runId":"no","also":"second","trained.BY":"first"},"modelTags":{"Trained.By":"third"}}`)})
	if err != nil || e.Model.Job != "first" {
		t.Errorf("%+v, %v", e, err)
	}
	e, err = p.Parse(event.Envelope{ID: "1", Source: workspace, Type: "Microsoft.MachineLearningServices.ModelRegistered", Subject: "models/churn:1",
		Data: []byte(`{"modelTags":{"ALSO":"upper","also":"lower","Also":"mixed"}}`)})
	if err != nil || e.Model.Job != "upper" {
		t.Errorf("keys that differ in case only: %+v, %v", e, err)
	}
	run := completed(t, p, map[string]any{"runTags": map[string]string{"READS": "a:1,b:2", "azureml.inputs": "c:3"}}).Run
	if got := fmt.Sprint(run.Inputs); got != "[{a 1} {b 2}]" {
		t.Error(got)
	}
}

func TestOptionsThatAreWrongAreRefusedByName(t *testing.T) {
	for want, o := range map[string]event.Options{
		"is not the ARM id of an Azure Machine Learning workspace": {Aliases: map[string]string{"/subscriptions/1": "a"}},
		"want a name without slashes and spaces":                   {Aliases: map[string]string{workspace: "a/b"}},
		"stands for both":                                          {Aliases: map[string]string{workspace: "a", workspace + "2": "a"}},
		`monitor experiments, entry 2: "[" is not a glob`:          {MonitorExperiments: []string{"*", "["}},
		"want a monitor and a model":                               {MonitorModels: map[string]string{"churn_monitor": ""}},
	} {
		if _, err := event.NewParser(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestParserKeepsNothingOfItsOptions(t *testing.T) {
	o := event.DefaultOptions()
	o.MonitorModels = map[string]string{"churn_monitor": "churn-v2"}
	p, err := event.NewParser(o)
	if err != nil {
		t.Fatal(err)
	}
	o.MonitorModels["churn_monitor"] = "changed"
	clear(o.MonitorExperiments)
	e := completed(t, p, map[string]any{"runType": "azureml.PipelineRun"})
	if e.Monitor == nil || e.Monitor.Model != "churn-v2" {
		t.Errorf("%s of %+v", e.Kind, e.Monitor)
	}
}

func TestBrokenDataIsAProblem(t *testing.T) {
	_, err := newParser(t).Parse(event.Envelope{ID: "1", Source: workspace, Type: "x", Data: []byte(`{"a":`)})
	var p *event.Problem
	if !errors.As(err, &p) || p.Reason != event.ReasonBadData || !strings.Contains(p.Error(), `"1"`) {
		t.Error(err)
	}
}

func TestMapsAreBoundedAndSayWhatTheyLeftOut(t *testing.T) {
	tags := map[string]string{}
	for i := range 600 {
		tags[fmt.Sprint("t", i)] = "x"
	}
	e := completed(t, newParser(t), map[string]any{"runTags": tags})
	if len(e.Run.Tags) != 512 || e.Trimmed != 88 {
		t.Errorf("%d tags, %d trimmed", len(e.Run.Tags), e.Trimmed)
	}
}

func TestParseIsSafeForConcurrentUse(t *testing.T) {
	p := newParser(t)
	items, err := event.Split("", nil, readFile(t, "testdata/odd/breach-tag-quoting.json"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, item := range items {
				if e, err := p.Parse(item.Envelope); err != nil || len(e.Breaches) == 0 {
					t.Errorf("%v, %v", e, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestKeysTellEventsApartByAllFourParts(t *testing.T) {
	base := event.Envelope{ID: "i", Source: "s", Type: "t", Subject: "u"}
	seen := map[event.Key]bool{base.Key(): true}
	for _, e := range []event.Envelope{
		{ID: "I", Source: "s", Type: "t", Subject: "u"}, {ID: "i", Source: "S", Type: "t", Subject: "u"},
		{ID: "i", Source: "s", Type: "T", Subject: "u"}, {ID: "i", Source: "s", Type: "t", Subject: "U"},
		{ID: "", Source: "si", Type: "t", Subject: "u"}, {ID: "it", Source: "s", Type: "", Subject: "u"},
	} {
		k := e.Key()
		if seen[k] || len(k) != 26 || strings.ToLower(string(k)) != string(k) {
			t.Errorf("%+v has key %q", e, k)
		}
		seen[k] = true
	}
	again := base
	again.Data, again.Time = []byte(`{}`), again.Time.AddDate(1, 0, 0)
	if again.Key() != base.Key() {
		t.Error("data and time are no part of the identity")
	}
}
