package infra_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/app"
	"github.com/modelwarden/modelwarden/internal/ingest"
)

// samples are values of every variable that outputs.tf can give.
var samples = map[string]string{
	"MODELWARDEN_AZURE_IDENTITY":        "managedIdentity",
	"MODELWARDEN_AZURE_CLIENT_ID":       "11111111-1111-1111-1111-111111111111",
	"MODELWARDEN_SERVICEBUS_NAMESPACE":  "contoso-mw-bus.servicebus.windows.net",
	"MODELWARDEN_SERVICEBUS_QUEUE":      "modelwarden-events",
	"MODELWARDEN_WORKER_MAX_DELIVERIES": "20",
	"MODELWARDEN_COSMOS_ENDPOINT":       "https://contoso-mw-records.documents.azure.com:443/",
	"MODELWARDEN_COSMOS_DATABASE":       "modelwarden",
	"MODELWARDEN_COSMOS_CONTAINER":      "records",
	"MODELWARDEN_AUTH_ENTRA_TENANTS":    "22222222-2222-2222-2222-222222222222",
	"MODELWARDEN_AUTH_ENTRA_AUDIENCES":  "33333333-3333-3333-3333-333333333333,api://33333333-3333-3333-3333-333333333333",
	"MODELWARDEN_PULL_ENDPOINT":         "https://contoso-mw-pull.westeurope-1.eventgrid.azure.net",
	"MODELWARDEN_PULL_TOPIC":            "machine-learning",
	"MODELWARDEN_PULL_SUBSCRIPTION":     "modelwarden",
	"MODELWARDEN_PUBLISH_ENDPOINT":      "https://contoso-mw-changes.westeurope-1.eventgrid.azure.net/api/events",
}

// TestEnvironmentIsTheREADMEsConfiguration loads both with the service's own
// loader: the service must know each variable, and the file say the same.
func TestEnvironmentIsTheREADMEsConfiguration(t *testing.T) {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^ +(MODELWARDEN_\w+) += `).FindAllStringSubmatch(read(t, "outputs.tf"), -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	if known := slices.Sorted(maps.Keys(samples)); !slices.Equal(names, known) {
		t.Fatalf("outputs.tf gives %q, this test knows %q", names, known)
	}
	environment, err := loadEnvironment(samples)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		other := maps.Clone(samples)
		other[name] += "1"
		if c, err := loadEnvironment(other); err == nil && reflect.DeepEqual(c, environment) {
			t.Errorf("%s changes nothing: the service does not know it", name)
		}
	}
	file, err := app.Load(readmeYAML(t), func(string) string { return "" }, app.Overrides{})
	if err != nil {
		t.Fatalf("README.md: %v", err)
	}
	if !reflect.DeepEqual(environment, file) {
		t.Errorf("environment:\n%+v\nREADME's file:\n%+v", environment, file)
	}
}

func loadEnvironment(env map[string]string) (*app.Config, error) {
	return app.Load("", func(name string) string { return env[name] }, app.Overrides{})
}

// readmeYAML writes the README's configuration to a file and gives its name.
func readmeYAML(t *testing.T) string {
	t.Helper()
	blocks := regexp.MustCompile("(?s)```yaml\n(.+?)```").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(blocks) != 1 {
		t.Fatalf("README.md has %d blocks of YAML, want the configuration alone", len(blocks))
	}
	name := filepath.Join(t.TempDir(), "modelwarden.yaml")
	if err := os.WriteFile(name, []byte(blocks[0][1]), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDeliveriesAreTheDefault: the broker must not give up before the service,
// also where somebody starts it without the environment.
func TestDeliveriesAreTheDefault(t *testing.T) {
	c, err := loadEnvironment(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)variable "max_deliveries" \{.+?default += (\d+)`).FindStringSubmatch(read(t, "variables.tf"))
	if m == nil || m[1] != strconv.Itoa(c.Worker.MaxDeliveries) {
		t.Errorf("the service's default is %d, variables.tf has %q", c.Worker.MaxDeliveries, m)
	}
}

// TestREADMEProtectsTheWebhookForEventGrid: the commands must give the role
// that the service asks for to the application that it expects. Other ids in
// the README are placeholders of one digit.
func TestREADMEProtectsTheWebhookForEventGrid(t *testing.T) {
	readme := read(t, "README.md")
	found := map[string]bool{}
	for _, id := range regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).FindAllString(readme, -1) {
		if strings.Trim(id, id[:1]+"-") != "" {
			found[id] = true
		}
	}
	want := map[string]bool{ingest.AppEventGrid: true, ingest.AppEventGridGovernment: true}
	if !maps.Equal(found, want) {
		t.Errorf("README.md names the applications %v, the service knows %v", found, want)
	}
	for _, text := range []string{`"value":"` + ingest.DefaultRole + `"`, `value=='` + ingest.DefaultRole + `'`} {
		if !strings.Contains(readme, text) {
			t.Errorf("README.md does not say %s", text)
		}
	}
}
