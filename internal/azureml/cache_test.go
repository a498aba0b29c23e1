package azureml_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/modelwarden/modelwarden/internal/azureml"
	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
)

// counted is a source of jobs that takes its time and counts.
type counted struct {
	azureml.Source
	mu     sync.Mutex
	asked  map[string]int
	status string
	takes  time.Duration
	err    error
}

func (c *counted) Job(ctx context.Context, ws event.Workspace, name string) (azureml.Job, error) {
	c.mu.Lock()
	if c.asked == nil {
		c.asked = map[string]int{}
	}
	c.asked[ws.Alias+"/"+name]++
	status, takes, err := c.status, c.takes, c.err
	c.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return azureml.Job{}, ctx.Err()
	}
	return azureml.Job{Name: name, Status: status}, err
}

func (c *counted) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.asked {
		n += times
	}
	return n
}

func (c *counted) set(status string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.err = status, err
}

func cached(t *testing.T, s azureml.Source, o azureml.CacheOptions) *azureml.Cache {
	t.Helper()
	c, err := azureml.NewCache(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnswersHoldAsLongAsTheyAreLikelyTo(t *testing.T) {
	for name, tt := range map[string]struct {
		status string
		err    error
		holds  time.Duration
	}{
		"a job that ended":         {"Completed", nil, 6 * time.Hour},
		"a job that runs":          {"Running", nil, 5 * time.Second},
		"a job that is not there":  {"", lineage.ErrNotFound, 20 * time.Second},
		"a job that can't be read": {"", errors.New("500"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &counted{status: tt.status, err: tt.err}
				c := cached(t, s, azureml.CacheOptions{})
				ask := func() {
					if got, err := c.Job(t.Context(), workspace, "j"); !errors.Is(err, tt.err) || got.Status != tt.status {
						t.Errorf("got %+v, %v", got, err)
					}
				}
				ask()
				if tt.holds > 0 {
					time.Sleep(tt.holds - time.Second)
					ask()
					if n := s.total(); n != 1 {
						t.Errorf("asked %d times before the answer is old", n)
					}
					time.Sleep(time.Second)
				}
				ask()
				if n := s.total(); n != 2 {
					t.Errorf("asked %d times, want 2", n)
				}
			})
		})
	}
}

func TestThoseWhoAskTogetherShareOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counted{status: "Completed", takes: time.Second}
		c := cached(t, s, azureml.CacheOptions{})
		impatient, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer leave()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Job(impatient, workspace, "j"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the one who left: %v", err)
			}
		})
		synctest.Wait() // the request is that of the one who leaves
		for range 20 {
			wg.Go(func() {
				if j, err := c.Job(t.Context(), workspace, "j"); err != nil || j.Status != "Completed" {
					t.Errorf("got %+v, %v", j, err)
				}
			})
		}
		wg.Wait()
		if n := s.total(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

func TestTheBudgetIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counted{status: "Completed"}
		c := cached(t, s, azureml.CacheOptions{RequestsPerSecond: 2, Burst: 4})
		began := time.Now()
		var later int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				_, err := c.Job(t.Context(), workspace, fmt.Sprint("j", i))
				var asked *policy.RetryAfterError
				if errors.As(err, &asked) {
					mu.Lock()
					defer mu.Unlock()
					later++
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// What would have to wait beyond a request's time-out is told so at once.
		if took, n := time.Since(began), s.total(); took > 15*time.Second || n < 33 || n > 34 || later != 100-n {
			t.Errorf("%d requests in %v and %d refused: at 2 a second after 4, 15 s allow for 34", n, took, later)
		}
	})
}

func TestAWorkspaceThatFailsIsLeftAloneAndOthersAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counted{err: errors.New("500")}
		c := cached(t, s, azureml.CacheOptions{})
		ask := func(ws event.Workspace, i int) error {
			_, err := c.Job(t.Context(), ws, fmt.Sprint("j", i))
			return err
		}
		var left *policy.RetryAfterError
		for i := range 5 {
			if err := ask(workspace, i); err == nil || errors.As(err, &left) {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		for i := range 50 {
			if err := ask(workspace, i); !errors.As(err, &left) {
				t.Fatalf("after five failures: %v", err)
			}
		}
		if n := s.total(); n != 5 {
			t.Errorf("asked %d times, want 5", n)
		}
		s.set("Completed", nil)
		if err := ask(event.Workspace{Alias: "other", ID: "/other"}, 1); err != nil {
			t.Errorf("another workspace: %v", err)
		}
		time.Sleep(31 * time.Second)
		for i := range 10 {
			if err := ask(workspace, i); err != nil {
				t.Errorf("half a minute later: %v", err)
			}
		}
	})
}

func TestWhatIsNotThereAndWhatIsRefusedDoNotBreakTheWay(t *testing.T) {
	for _, err := range []error{lineage.ErrNotFound, &policy.PermanentError{Err: errors.New("403")}} {
		synctest.Test(t, func(t *testing.T) {
			s := &counted{err: err}
			c := cached(t, s, azureml.CacheOptions{})
			for i := range 20 {
				if _, got := c.Job(t.Context(), workspace, fmt.Sprint("j", i)); !errors.Is(got, err) {
					t.Errorf("request %d: %v", i, got)
				}
			}
		})
	}
}

func TestAThrottledWorkspaceIsAskedAgainWhenItSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counted{err: &policy.RetryAfterError{Err: errors.New("429"), After: time.Minute}}
		c := cached(t, s, azureml.CacheOptions{})
		for i := range 30 {
			_, err := c.Job(t.Context(), workspace, fmt.Sprint("j", i))
			var later *policy.RetryAfterError
			if !errors.As(err, &later) || later.After > time.Minute || later.After < 59*time.Second {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		if n := s.total(); n != 1 {
			t.Errorf("a throttling service was asked %d times", n)
		}
		time.Sleep(time.Minute)
		s.set("", &policy.RetryAfterError{Err: errors.New("429"), After: time.Second})
		for i := range 10 {
			if _, err := c.Job(t.Context(), workspace, "j"); err == nil || s.total() != 2+i {
				t.Errorf("throttled again: %v, asked %d times", err, s.total())
			}
			time.Sleep(time.Second)
		}
		s.set("Completed", nil)
		if _, err := c.Job(t.Context(), workspace, "j"); err != nil || s.total() != 12 {
			t.Errorf("in the end: %v, asked %d times", err, s.total())
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counted{status: "Completed"}
		c := cached(t, s, azureml.CacheOptions{Entries: 10, RequestsPerSecond: 1e6})
		for i := range 100 {
			if _, err := c.Job(t.Context(), workspace, fmt.Sprint("j", i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			if _, err := c.Job(t.Context(), workspace, fmt.Sprint("j", 99-i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.total(); n < 190 || n > 195 {
			t.Errorf("asked %d times: of 100 jobs the cache holds 5 to 10", n)
		}
	})
}

func TestTheCacheTellsWhatItSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		c := cached(t, &counted{status: "Completed"}, azureml.CacheOptions{Registerer: registry})
		for range 3 {
			if _, err := c.Job(t.Context(), workspace, "j"); err != nil {
				t.Fatal(err)
			}
		}
		got, err := testutil.GatherAndCount(registry, "modelwarden_azureml_lookups_total")
		if err != nil || got != 10 {
			t.Errorf("%d series, %v", got, err)
		}
		const want = `# HELP modelwarden_azureml_lookups_total What was asked of the cache of Azure Machine Learning, by kind of thing and result (hit, miss).
# TYPE modelwarden_azureml_lookups_total counter
modelwarden_azureml_lookups_total{kind="endpoint",result="hit"} 0
modelwarden_azureml_lookups_total{kind="endpoint",result="miss"} 0
modelwarden_azureml_lookups_total{kind="job",result="hit"} 2
modelwarden_azureml_lookups_total{kind="job",result="miss"} 1
modelwarden_azureml_lookups_total{kind="model",result="hit"} 0
modelwarden_azureml_lookups_total{kind="model",result="miss"} 0
modelwarden_azureml_lookups_total{kind="monitor",result="hit"} 0
modelwarden_azureml_lookups_total{kind="monitor",result="miss"} 0
modelwarden_azureml_lookups_total{kind="run",result="hit"} 0
modelwarden_azureml_lookups_total{kind="run",result="miss"} 0
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "modelwarden_azureml_lookups_total"); err != nil {
			t.Error(err)
		}
	})
}
