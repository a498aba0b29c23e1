//go:build peers

package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/boot"
)

func TestPromtoolAcceptsTheMetrics(t *testing.T) {
	s := bootStory(t, "")
	text, err := s.Read("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command(peer(t, "promtool"), "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// families are the metrics that dashboards and alerts rely on, and their types.
var families = map[string]string{
	"modelwarden_events_received_total": "counter",
	"modelwarden_event_lag_seconds":     "histogram",
	"modelwarden_processing_seconds":    "histogram",
	"modelwarden_queue_messages":        "gauge",
	"modelwarden_decisions_total":       "counter",
	"modelwarden_actions_total":         "counter",
	"modelwarden_actions_in_flight":     "gauge",
	"modelwarden_reviews_open":          "gauge",
	"modelwarden_review_ack_seconds":    "histogram",
	"modelwarden_breach_value":          "gauge",
	"modelwarden_models":                "gauge",
	"modelwarden_store_conflicts_total": "counter",
	"modelwarden_dead_letter_messages":  "gauge",
}

// samples are queries whose answer the story fixes.
var samples = map[string]float64{
	`up`: 1,
	`sum(modelwarden_events_received_total{kind="model.registered",result="accepted",source="webhook"})`:            4, // two, each delivered twice
	`sum(modelwarden_events_received_total{result="quarantined"})`:                                                  1,
	`sum(modelwarden_event_lag_seconds_count) == bool sum(modelwarden_events_received_total{result="accepted"})`:    1,
	`sum(modelwarden_decisions_total{policy="churn-drift"})`:                                                        storyBreaches,
	`sum(modelwarden_decisions_total{policy="large-shift",verdict="hold",reason="condition_false"})`:                storyBreaches,
	`sum(modelwarden_actions_total{type="retrain",target="hook",outcome="succeeded"})`:                              1,
	`sum(modelwarden_actions_in_flight)`:                                                                            0,
	`modelwarden_reviews_open{severity="warning"}`:                                                                  1,
	`sum(modelwarden_reviews_open)`:                                                                                 1,
	`sum(modelwarden_models)`:                                                                                       2,
	`modelwarden_models{workspace="contoso-ml",stage="deployed"}`:                                                   1,
	`modelwarden_dead_letter_messages`:                                                                              0,
	`sum(modelwarden_queue_messages{queue="events",state=~"ready|leased"})`:                                         0,
	`count(modelwarden_breach_value{workspace="contoso-ml",model="churn",metric="PopulationStabilityIndex"} > 0.2)`: 1,
	`histogram_quantile(0.99, sum by (le) (modelwarden_processing_seconds_bucket)) < bool 60`:                       1,
	`histogram_quantile(0.99, sum by (le) (modelwarden_event_lag_seconds_bucket)) < bool 1800`:                      1,
	`count({__name__=~"modelwarden_.+"}) < bool 1500`:                                                               1, // bounded, whatever the story
}

func TestPrometheusScrapes(t *testing.T) {
	for _, c := range []struct{ name, token string }{
		{"openly on loopback", ""},
		{"with a bearer token", "a-token-of-24-characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := bootStory(t, c.token)
			p := bootPrometheus(t, s, c.token)
			p.scraped(t, 3)
			p.checkTypes(t)
			p.checkSamples(t)
		})
	}
}

func TestPrometheusWithAWrongTokenGetsNothing(t *testing.T) {
	s := serve(t, "a-token-of-24-characters")
	p := bootPrometheus(t, s, "another-token-of-its-own")
	boot.Eventually(t, 30*time.Second, "the target is seen, and is down", func() error {
		if v, err := p.value("up"); err != nil || v != 0 {
			return fmt.Errorf("up is %v (%w)", v, err)
		}
		return nil
	})
	if v, err := p.value(`count({__name__=~"modelwarden_.+"})`); err == nil {
		t.Errorf("%v series were given away", v)
	}
}

// prometheus is a running Prometheus server.
type prometheus struct{ URL string }

const prometheusConfig = `
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: modelwarden
    authorization: {credentials_file: %q}
    static_configs: [{targets: [%q]}]
`

// bootPrometheus starts a Prometheus that scrapes s each second and shows it
// the token, "" for none.
func bootPrometheus(t *testing.T, s *server, token string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	credentials, config := filepath.Join(dir, "token"), filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(prometheusConfig, credentials, strings.TrimPrefix(s.URL, "http://"))
	if token == "" {
		text = strings.ReplaceAll(text, "    authorization:", "    # authorization:")
	}
	for file, content := range map[string]string{credentials: token, config: text} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen := freeAddress(t)
	cmd := exec.Command(peer(t, "prometheus"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen)
	cmd.Dir = dir
	proc := boot.Start(t, cmd)
	p := &prometheus{URL: "http://" + listen}
	boot.Eventually(t, 30*time.Second, "Prometheus is ready", func() error {
		proc.Alive(t)
		_, err := boot.Download(p.URL+"/-/ready", "")
		return err
	})
	return p
}

// freeAddress is a loopback address that nobody listens on at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// api reads the data of an answer of Prometheus' HTTP API.
func (p *prometheus) api(path string, query url.Values, into any) error {
	body, err := boot.Download(p.URL+path+"?"+query.Encode(), "")
	if err != nil {
		return err
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// value is the answer of a query that yields one sample.
func (p *prometheus) value(query string) (float64, error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := p.api("/api/v1/query", url.Values{"query": {query}}, &data); err != nil {
		return 0, err
	}
	if len(data.Result) != 1 {
		return 0, fmt.Errorf("%s yields %d samples, want 1", query, len(data.Result))
	}
	text, _ := data.Result[0].Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && math.IsNaN(v) {
		err = fmt.Errorf("%s is not a number", query)
	}
	return v, err
}

// scraped waits for so many good scrapes.
func (p *prometheus) scraped(t *testing.T, times float64) {
	t.Helper()
	boot.Eventually(t, 30*time.Second, "the service is scraped", func() error {
		if n, err := p.value(`sum_over_time(up[1m])`); err != nil || n < times {
			return fmt.Errorf("%v good scrapes, want %v (%w)", n, times, err)
		}
		return nil
	})
}

// checkTypes asks what Prometheus understood: each family with the right type
// and a help text, and no family of ours without them.
func (p *prometheus) checkTypes(t *testing.T) {
	var entries []struct{ Metric, Type, Help string }
	if err := p.api("/api/v1/targets/metadata", url.Values{"match_target": {`{job="modelwarden"}`}}, &entries); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, e := range entries {
		types[e.Metric] = e.Type
		if strings.HasPrefix(e.Metric, "modelwarden_") && (e.Help == "" || e.Type == "unknown") {
			t.Errorf("%s has type %q and help %q", e.Metric, e.Type, e.Help)
		}
	}
	for name, want := range families {
		// OpenMetrics names a counter's family without its suffix.
		got := types[name] + types[strings.TrimSuffix(name, "_total")]
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s has type %q, want %q", name, got, want)
		}
		if _, err := p.value(fmt.Sprintf(`count({__name__=~"%s(_bucket)?"}) > 0`, name)); err != nil {
			t.Errorf("%s has no series: %v", name, err)
		}
	}
}

func (p *prometheus) checkSamples(t *testing.T) {
	for query, want := range samples {
		if got, err := p.value(query); err != nil || got != want {
			t.Errorf("%s is %v (%v), want %v", query, got, err, want)
		}
	}
}
