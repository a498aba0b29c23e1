package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/sandbox"
)

// narrator tells what happens, with the seconds since the beginning.
type narrator struct {
	out   io.Writer
	began time.Time
	url   string
}

func (n *narrator) line(format string, args ...any) { _, _ = fmt.Fprintf(n.out, format+"\n", args...) }

func (n *narrator) step(format string, args ...any) {
	_, _ = fmt.Fprintf(n.out, "\n%5.1fs  %s\n", time.Since(n.began).Seconds(), fmt.Sprintf(format, args...))
}

func (n *narrator) detail(format string, args ...any) {
	n.line("        %s", fmt.Sprintf(format, args...))
}

// tellStory plays the story. What it reports of the service it reads over the
// service's own HTTP API, as anybody could.
func tellStory(ctx context.Context, st *demoStage, n *narrator) error {
	n.line("Modelwarden demo: one model, from its data to a retrain that worked.")
	n.line("Page     %s/", n.url)
	n.line("Metrics  %s/metrics", n.url)
	n.line("API      %s/openapi.json", n.url)
	s := &demoStory{st: st, n: n}
	for _, chapter := range []func(context.Context) error{
		s.train, s.monitor, s.drift, s.decided, s.retrained, s.passed, s.lineage, s.explained, s.farewell,
	} {
		if err := chapter(ctx); err != nil {
			return fmt.Errorf("the story broke: %w", err)
		}
	}
	return nil
}

// demoStory is what one chapter leaves for the next.
type demoStory struct {
	st     *demoStage
	n      *narrator
	breach sandbox.MonitorRun
	job    string
	review string
}

const demoMonitor = "churn_monitor"

func (s *demoStory) train(ctx context.Context) error {
	w := s.st.workspace
	v, err := w.RegisterData("churn-data")
	if err != nil {
		return err
	}
	s.n.step("Data scientists registered churn-data:%s and train the first model.", v)
	job, err := w.SubmitJob(sandbox.JobSpec{Component: "azureml:train_churn:3", Experiment: "churn-train"})
	if err != nil {
		return err
	}
	done, err := w.WaitJob(ctx, job)
	if err != nil {
		return err
	}
	s.n.detail("job %s completed, model %s:%s registered and deployed to churn-ep/blue", job, done.Model, done.Version)
	model := "model/contoso-ml/churn/" + done.Version
	if err := s.await(ctx, "the model in the inventory", "/api/v1/assets/"+model, func(a map[string]any) bool { return a["stage"] == "deployed" }); err != nil {
		return err
	}
	s.n.detail("every event was delivered three times and shuffled; the lineage has it once:")
	s.n.detail("%s/assets/%s", s.n.url, model)
	return nil
}

func (s *demoStory) monitor(ctx context.Context) error {
	w := s.st.workspace
	err := w.CreateMonitor(sandbox.MonitorSpec{Name: demoMonitor, Model: "churn", Signals: []sandbox.Signal{
		{Name: "data_drift", Threshold: 0.2, Features: []string{"age", "tenure_months", "contract"}},
	}})
	if err != nil {
		return err
	}
	if _, err := w.RunMonitor(demoMonitor); err != nil {
		return err
	}
	s.n.step("A monitor compares production with the training data. First window:")
	return s.await(ctx, "the first window", "/api/v1/assets/monitor/contoso-ml/"+demoMonitor, func(a map[string]any) bool {
		if a["status"] != "passed" {
			return false
		}
		s.n.detail("passed. Nothing to do.")
		return true
	})
}

func (s *demoStory) drift(context.Context) error {
	w := s.st.workspace
	if err := w.ShiftData("age", 0.6); err != nil {
		return err
	}
	run, err := w.RunMonitor(demoMonitor)
	if err != nil {
		return err
	}
	if len(run.Violations) == 0 {
		return errors.New("the shift did not breach")
	}
	s.breach = run
	s.n.step("The world changes: customers are younger than in the training data.")
	for _, v := range run.Violations {
		s.n.detail("%s: %s of %s is %.2f, limit %.2f", v.Signal, v.Metric, v.Feature, v.Value, v.Threshold)
	}
	return nil
}

func (s *demoStory) decided(ctx context.Context) error {
	return s.await(ctx, "the retrain", "/api/v1/actions?type=retrain", func(page map[string]any) bool {
		for _, item := range items(page) {
			outcome, _ := item["outcome"].(map[string]any)
			run, _ := outcome["run"].(string)
			if run == "" {
				continue
			}
			s.job = run
			s.n.step("%v", item["reason"])
			s.n.detail("retrain  %v -> job %s", item["state"], run)
			s.n.detail("%s/actions", s.n.url)
			return true
		}
		return false
	})
}

func (s *demoStory) retrained(ctx context.Context) error {
	err := s.await(ctx, "the review", "/api/v1/reviews?state=open", func(page map[string]any) bool {
		for _, item := range items(page) {
			s.review, _ = item["id"].(string)
			s.n.detail("review   %v: %v", item["severity"], item["title"])
			s.n.detail("%s/reviews/%s", s.n.url, s.review)
			return true
		}
		return false
	})
	if err != nil {
		return err
	}
	done, err := s.st.workspace.WaitJob(ctx, s.job)
	if err != nil {
		return err
	}
	s.n.step("The retraining job completed on churn-data:2: model %s:%s is registered and deployed.", done.Model, done.Version)
	return s.await(ctx, "the end of the retrain", "/api/v1/actions?type=retrain", func(page map[string]any) bool {
		for _, item := range items(page) {
			if item["state"] == "succeeded" {
				s.n.detail("its events found the way back to the action that asked for it: %v", item["state"])
				return true
			}
		}
		return false
	})
}

func (s *demoStory) passed(ctx context.Context) error {
	run, err := s.st.workspace.RunMonitor(demoMonitor)
	if err != nil {
		return err
	}
	if len(run.Violations) > 0 {
		return errors.New("the retrained model did not pass")
	}
	s.n.step("Next window of the monitor, on the new model:")
	err = s.await(ctx, "the closed review", "/api/v1/reviews/"+s.review, func(r map[string]any) bool {
		if r["state"] != "resolved" {
			return false
		}
		s.n.detail("passed. The review resolved itself.")
		return true
	})
	if err != nil {
		return err
	}
	return s.await(ctx, "the verdict on the retrain", "/api/v1/actions?type=retrain", func(page map[string]any) bool {
		for _, item := range items(page) {
			if loop, ok := item["loop"].(map[string]any); ok && loop["verdict"] != nil {
				s.n.detail("the retrain was %v: %v", loop["verdict"], loop["why"])
				return true
			}
		}
		return false
	})
}

func (s *demoStory) lineage(ctx context.Context) error {
	var g struct {
		Edges []struct{ From, To, Type, Since string }
	}
	if err := s.get(ctx, "/api/v1/lineage/endpoint/contoso-ml/churn-ep?direction=up", &g); err != nil {
		return err
	}
	s.n.step("What made what is in production now, from the lineage store:")
	slices.SortStableFunc(g.Edges, func(a, b struct{ From, To, Type, Since string }) int { return strings.Compare(a.Since, b.Since) })
	for _, e := range g.Edges {
		s.n.detail("%-40s --%s--> %s", e.From, e.Type, e.To)
	}
	return nil
}

func (s *demoStory) explained(ctx context.Context) error {
	var page map[string]any
	if err := s.get(ctx, "/api/v1/decisions", &page); err != nil {
		return err
	}
	s.n.step("Every decision, with its reason, the ones not to act included:")
	list := items(page)
	slices.Reverse(list)
	for _, d := range list {
		detail, _ := d["detail"].(string)
		s.n.detail("%-12v %-5v %-16v %s", d["policy"], d["verdict"], d["reason"], detail)
	}
	return nil
}

func (s *demoStory) farewell(ctx context.Context) error {
	var actions, reviews map[string]any
	if err := errors.Join(s.get(ctx, "/api/v1/actions?type=retrain", &actions), s.get(ctx, "/api/v1/reviews", &reviews)); err != nil {
		return err
	}
	s.n.step("Three deliveries of two breach events made %d retrain and %d review.", len(items(actions)), len(items(reviews)))
	s.n.detail("page     %s/", s.n.url)
	s.n.detail("metrics  %s/metrics", s.n.url)
	s.n.detail("tree     modelwarden --server %s lineage endpoint/contoso-ml/churn-ep --up", s.n.url)
	return nil
}

func items(page map[string]any) []map[string]any {
	list, _ := page["items"].([]any)
	var out []map[string]any
	for _, it := range list {
		if m, ok := it.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// chapterTime bounds the wait for one thing to happen.
const chapterTime = 20 * time.Second

// await polls until the answer is what the story waits for.
func (s *demoStory) await(ctx context.Context, what, path string, there func(map[string]any) bool) error {
	ctx, cancel := context.WithTimeout(ctx, chapterTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		var answer map[string]any
		if last = s.get(ctx, path, &answer); last == nil && there(answer) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, errors.Join(ctx.Err(), last))
		case err := <-s.st.stopped:
			s.st.stopped <- nil
			return fmt.Errorf("the service ended: %w", err)
		case <-tick.C:
		}
	}
}

func (s *demoStory) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.n.url+path, nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, r.Status)
	}
	return json.NewDecoder(r.Body).Decode(into)
}
