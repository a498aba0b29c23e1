package app

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// settingsOf lists the paths of all service settings; the policy part has no
// variables.
func settingsOf(t reflect.Type, path string) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		ft := f.Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		switch {
		case name == "" || name == "policyFiles": // inline, and what is not a value
		case ft.Kind() == reflect.Struct:
			out = append(out, settingsOf(ft, path+name+".")...)
		default:
			out = append(out, path+name)
		}
	}
	return out
}

func TestEverySettingHasAVariableOfItsOwn(t *testing.T) {
	names, err := variables()
	if err != nil {
		t.Fatal(err)
	}
	settings := settingsOf(reflect.TypeFor[Config](), "")
	if len(names) != len(settings) {
		t.Errorf("%d variables for %d settings:\n%v\n%v", len(names), len(settings), names, settings)
	}
	sorted := slices.Sorted(slices.Values(names))
	if len(slices.Compact(sorted)) != len(names) {
		t.Errorf("two settings share a variable: %v", sorted)
	}
	for _, want := range []string{
		"MODELWARDEN_LISTEN", "MODELWARDEN_LOG_LEVEL", "MODELWARDEN_ROLES", "MODELWARDEN_AUTH_ENTRA_TENANTS",
		"MODELWARDEN_SERVICEBUS_NAMESPACE", "MODELWARDEN_SERVICEBUS_QUEUE", "MODELWARDEN_COSMOS_ENDPOINT", "MODELWARDEN_COSMOS_DATABASE",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	// These set secrets themselves and must not be taken for settings.
	for _, secret := range []string{"MODELWARDEN_SERVICEBUS_CONNECTION_STRING", "MODELWARDEN_COSMOS_KEY", "MODELWARDEN_SECRET", "MODELWARDEN_API_TOKEN"} {
		if slices.Contains(names, secret) {
			t.Errorf("%s is a setting", secret)
		}
	}
}

// load reads a file's text with variables given as pairs.
func load(t *testing.T, text string, o Overrides, env ...string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for i := 0; i < len(env); i += 2 {
		vars["MODELWARDEN_"+env[i]] = env[i+1]
	}
	return Load(file, func(name string) string { return vars[name] }, o)
}

func TestAVariableWinsOverTheFileAndAFlagOverBoth(t *testing.T) {
	const text = "listen: 127.0.0.1:1\nlimits: {maxBody: 1, timeout: 5s}\nqueue: {serviceBus: {namespace: file.servicebus.windows.net}}\n"
	c, err := load(t, text, Overrides{Listen: "127.0.0.1:3"},
		"LISTEN", "127.0.0.1:2", "LIMITS_MAX_BODY", "2", "WORKER_RUN_TIMEOUT", "2d", "ROLES", "worker,web", "SERVICEBUS_QUEUE", "q",
		"EVENTS_WORKSPACES", "/subscriptions/s/x=a,/subscriptions/s/y=b", "AUTH_ENTRA_TENANTS", "t1,t2")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:3" || c.Limits.MaxBody != 2 || time.Duration(c.Limits.Timeout) != 5*time.Second {
		t.Errorf("listen %s, maxBody %d, timeout %v", c.Listen, c.Limits.MaxBody, c.Limits.Timeout)
	}
	if c.Worker.RunTimeout != policy.Duration(48*time.Hour) || fmt.Sprint(c.Roles) != "[worker web]" {
		t.Errorf("runTimeout %v, roles %v", c.Worker.RunTimeout, c.Roles)
	}
	if sb := c.Queue.ServiceBus; sb.Namespace != "file.servicebus.windows.net" || sb.Queue != "q" {
		t.Errorf("service bus %+v", sb)
	}
	if c.Events.Workspaces["/subscriptions/s/y"] != "b" || c.Auth.Entra == nil || len(c.Auth.Entra.Tenants) != 2 {
		t.Errorf("workspaces %v, entra %+v", c.Events.Workspaces, c.Auth.Entra)
	}
}

func TestWithoutVariablesNothingIsInvented(t *testing.T) {
	c, err := load(t, "policies: []\n", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Auth.Entra != nil || c.Queue != (QueueConfig{}) || c.Store != (StoreConfig{}) {
		t.Errorf("got %+v, %+v, %+v", c.Auth, c.Queue, c.Store)
	}
}

func TestABadVariableIsNamedBySettingAndNotRepeated(t *testing.T) {
	_, err := load(t, "", Overrides{}, "WORKER_BATCH", "hunter2", "LIMITS_TIMEOUT", "hunter2")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"setting batch can't be read as a number", "setting timeout can't be read as a time"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestAzureSettingsAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"azure: {identity: cli}": `azure.identity: "cli": want one of managedIdentity, workloadIdentity, developer`,
		"queue: {serviceBus: {namespace: \"Endpoint=sb://x/;SharedAccessKey=y\"}}": "queue.serviceBus.namespace: want the host alone",
		"queue: {serviceBus: {namespace: a.b, receivers: -1}}":                     "can't be negative",
		"store: {cosmos: {endpoint: contoso.documents.azure.com}}":                 "store.cosmos.endpoint: want an address that begins with https://",
		"pull: {endpoint: \"https://x\", topic: t}":                                "pull: needs endpoint, topic and subscription",
		"pull: {endpoint: \"https://x\", topic: t, subscription: s, batch: 101}":   "pull.batch: 101",
		"publish: {types: [Modelwarden.Stage.Changed]}":                            "publish: needs an endpoint",
		"publish: {endpoint: \"https://x\", types: [Modelwarden.Stage.Moved]}":     "publish.types: \"Modelwarden.Stage.Moved\": want one of",
	} {
		if _, err := load(t, text, Overrides{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
