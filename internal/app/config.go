package app

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/policy/strictyaml"
)

// Config is the one configuration file: service settings, and the policy
// part in the same document or in the files that policyFiles lists. Every
// setting has a default; a file with nothing but policies is complete.
//
// Every service setting can be set from outside, too: its variable is
// MODELWARDEN_, the `envPrefix` of the structs around it and its own `env`
// (limits.maxBody is MODELWARDEN_LIMITS_MAX_BODY). A variable wins over the
// file, a flag over both. Lists are separated by commas, maps are written
// name=value,name=value and times 90s, 30m, 6h, 2d.
type Config struct {
	// Listen is the address of the HTTP server. Defaults to 127.0.0.1:8080.
	Listen string `yaml:"listen,omitempty" env:"LISTEN"`
	// URL is where people reach the service, for links in what it sends.
	// Defaults to none.
	URL string `yaml:"url,omitempty" env:"URL"`
	// Data is the folder of the embedded store. Defaults to
	// ./modelwarden-data.
	Data string `yaml:"data,omitempty" env:"DATA"`
	// Roles are subscriber, worker and web. Defaults to all.
	Roles []string `yaml:"roles,omitempty" env:"ROLES"`

	Log    LogConfig    `yaml:"log,omitempty" envPrefix:"LOG_"`
	Auth   AuthConfig   `yaml:"auth,omitempty" envPrefix:"AUTH_"`
	API    APIConfig    `yaml:"api,omitempty" envPrefix:"API_"`
	Limits LimitsConfig `yaml:"limits,omitempty" envPrefix:"LIMITS_"`
	Worker WorkerConfig `yaml:"worker,omitempty" envPrefix:"WORKER_"`
	Events EventsConfig `yaml:"events,omitempty" envPrefix:"EVENTS_"`

	// Queue and Store choose the engines, Azure who the service is there.
	// Pull and Publish are further ways in and out.
	Queue   QueueConfig   `yaml:"queue,omitempty"`
	Store   StoreConfig   `yaml:"store,omitempty"`
	Azure   AzureConfig   `yaml:"azure,omitempty" envPrefix:"AZURE_"`
	Pull    PullConfig    `yaml:"pull,omitempty" envPrefix:"PULL_"`
	Publish PublishConfig `yaml:"publish,omitempty" envPrefix:"PUBLISH_"`
	// AzureML is what may be asked and changed in workspaces.
	AzureML AzureMLConfig `yaml:"azureML,omitempty" envPrefix:"AZUREML_"`

	// PolicyFiles are read besides this one; relative names are relative to
	// this file.
	PolicyFiles []string `yaml:"policyFiles,omitempty"`

	policy.File `yaml:",inline"`
}

// LogConfig is how the service logs.
type LogConfig struct {
	// Level is debug, info, warn or error. Defaults to info.
	Level string `yaml:"level,omitempty" env:"LEVEL"`
	// Format is json, or console for people. Defaults to json.
	Format string `yaml:"format,omitempty" env:"FORMAT"`
}

// AuthConfig is who may post events. Without any of it everybody may, which
// is refused unless the service listens on loopback only. With both a secret
// and Entra, either will do.
type AuthConfig struct {
	// SecretEnv and SecretFile name where the shared secret is (at least 16
	// bytes; header X-Modelwarden-Secret, or query parameter code).
	// Environment: MODELWARDEN_SECRET sets the secret itself.
	SecretEnv  string `yaml:"secretEnv,omitempty" env:"SECRET_ENV"`
	SecretFile string `yaml:"secretFile,omitempty" env:"SECRET_FILE"`
	// PreviousSecretEnv and PreviousSecretFile name the secret that is
	// accepted as well while senders change over. Environment:
	// MODELWARDEN_PREVIOUS_SECRET sets it itself.
	PreviousSecretEnv  string `yaml:"previousSecretEnv,omitempty" env:"PREVIOUS_SECRET_ENV"`
	PreviousSecretFile string `yaml:"previousSecretFile,omitempty" env:"PREVIOUS_SECRET_FILE"`
	// Entra verifies the tokens of Event Grid's Entra-protected delivery.
	Entra *EntraConfig `yaml:"entra,omitempty" envPrefix:"ENTRA_" env:",init"`
}

// EntraConfig is what a delivery's Entra ID token must say.
type EntraConfig struct {
	// Tenants are the tenant ids whose tokens are accepted.
	Tenants []string `yaml:"tenants" env:"TENANTS"`
	// Audiences are the application id of the app registration that stands
	// for this service, its URI, or both.
	Audiences []string `yaml:"audiences" env:"AUDIENCES"`
	// Applications are the callers' application ids. Defaults to Event
	// Grid's.
	Applications []string `yaml:"applications,omitempty" env:"APPLICATIONS"`
	// Roles: a token must carry one of them. Defaults to
	// AzureEventGridSecureWebhookSubscriber.
	Roles []string `yaml:"roles,omitempty" env:"ROLES"`
	// AlertApplications and AlertRoles are the same for action groups at
	// /alerts/azure-monitor. Default to Azure Monitor's application; roles
	// have to be named, they are your own.
	AlertApplications []string `yaml:"alertApplications,omitempty" env:"ALERT_APPLICATIONS"`
	AlertRoles        []string `yaml:"alertRoles,omitempty" env:"ALERT_ROLES"`
	// Authority and STS are for sovereign clouds. Default to the public
	// cloud's.
	Authority string `yaml:"authority,omitempty" env:"AUTHORITY"`
	STS       string `yaml:"sts,omitempty" env:"STS"`
}

// APIConfig is who may use the API, the pages and the metrics. Without tokens
// everybody may, which is refused unless the service listens on loopback only.
type APIConfig struct {
	// TokenEnv and TokenFile name where the token is (at least 16 bytes).
	// Environment: MODELWARDEN_API_TOKEN sets the token itself.
	TokenEnv  string `yaml:"tokenEnv,omitempty" env:"TOKEN_ENV"`
	TokenFile string `yaml:"tokenFile,omitempty" env:"TOKEN_FILE"`
	// PreviousTokenEnv and PreviousTokenFile name a token that is accepted as
	// well while clients change over.
	PreviousTokenEnv  string `yaml:"previousTokenEnv,omitempty" env:"PREVIOUS_TOKEN_ENV"`
	PreviousTokenFile string `yaml:"previousTokenFile,omitempty" env:"PREVIOUS_TOKEN_FILE"`
}

// LimitsConfig bounds what the subscriber takes at once.
type LimitsConfig struct {
	// MaxBody is in bytes. Defaults to 8388608 (8 MiB); Event Grid sends at
	// most 1 MiB.
	MaxBody int64 `yaml:"maxBody,omitempty" env:"MAX_BODY"`
	// MaxEvents is per request. Defaults to 5000.
	MaxEvents int `yaml:"maxEvents,omitempty" env:"MAX_EVENTS"`
	// RequestsPerSecond is over all senders. Defaults to 0, no limit.
	RequestsPerSecond float64 `yaml:"requestsPerSecond,omitempty" env:"REQUESTS_PER_SECOND"`
	// Burst is how many requests may come at once. Defaults to one second's.
	Burst int `yaml:"burst,omitempty" env:"BURST"`
	// MaxInFlight is the number of requests in work at once. Defaults to 512.
	MaxInFlight int `yaml:"maxInFlight,omitempty" env:"MAX_IN_FLIGHT"`
	// MaxInFlightBytes bounds the bodies in memory, in bytes. Defaults to
	// 16777216 (16 MiB).
	MaxInFlightBytes int64 `yaml:"maxInFlightBytes,omitempty" env:"MAX_IN_FLIGHT_BYTES"`
	// Timeout is for one request. Defaults to 20s; Event Grid waits 30s.
	Timeout policy.Duration `yaml:"timeout,omitempty" env:"TIMEOUT"`
}

// WorkerConfig is how events are worked on.
type WorkerConfig struct {
	// Batch is how many messages are worked on together. Defaults to 500.
	Batch int `yaml:"batch,omitempty" env:"BATCH"`
	// Loops is how many batches are in work at once. Defaults to 2.
	Loops int `yaml:"loops,omitempty" env:"LOOPS"`
	// Lease is how long a message is ours before others may have it.
	// Defaults to 1m.
	Lease policy.Duration `yaml:"lease,omitempty" env:"LEASE"`
	// MaxDeliveries is after how many tries a message becomes a dead letter.
	// Defaults to 20, which with the waits in between is about an hour.
	MaxDeliveries int `yaml:"maxDeliveries,omitempty" env:"MAX_DELIVERIES"`
	// EffectTimeout is for one call of a target. Defaults to 30s.
	EffectTimeout policy.Duration `yaml:"effectTimeout,omitempty" env:"EFFECT_TIMEOUT"`
	// RunTimeout is how long a retrain may go without an end. Defaults to
	// 24h.
	RunTimeout policy.Duration `yaml:"runTimeout,omitempty" env:"RUN_TIMEOUT"`
	// Drain is how long work in hand may take at shutdown. Defaults to 20s.
	Drain policy.Duration `yaml:"drain,omitempty" env:"DRAIN"`
}

// EventsConfig says how names are found that events do not carry plainly.
// Each list replaces its default; an empty one switches the rule off.
type EventsConfig struct {
	// Workspaces give ARM workspace ids an alias of your own. Default to the
	// workspace's name.
	Workspaces map[string]string `yaml:"workspaces,omitempty" env:"WORKSPACES" envKeyValSeparator:"="`
	// Monitors say which model a monitor watches, by "monitor" or
	// "workspace/monitor". Default to the convention <model>_monitor.
	Monitors map[string]string `yaml:"monitors,omitempty" env:"MONITORS" envKeyValSeparator:"="`
	// MonitorExperiments are globs of monitors' experiments. Default to
	// *_monitor, *-monitor and the like.
	MonitorExperiments []string `yaml:"monitorExperiments,omitempty" env:"MONITOR_EXPERIMENTS"`
	// ModelJobKeys are the model properties and tags that name the job that
	// made it. Default to azureml.runId, run_id and the like.
	ModelJobKeys []string `yaml:"modelJobKeys,omitempty" env:"MODEL_JOB_KEYS"`
	// DataInputKeys are the run properties and tags that name its data.
	// Default to azureml.inputs, training_data and the like.
	DataInputKeys []string `yaml:"dataInputKeys,omitempty" env:"DATA_INPUT_KEYS"`
	// MonitorModelKeys are the tags of a monitor's run that name the model.
	MonitorModelKeys []string `yaml:"monitorModelKeys,omitempty" env:"MONITOR_MODEL_KEYS"`
}

func (c EventsConfig) options() event.Options {
	return event.Options{
		Aliases: c.Workspaces, MonitorModels: c.Monitors, MonitorExperiments: c.MonitorExperiments,
		ModelJobKeys: c.ModelJobKeys, DataInputKeys: c.DataInputKeys, MonitorModelKeys: c.MonitorModelKeys,
	}
}

// Roles of a process.
const (
	RoleSubscriber = "subscriber"
	RoleWorker     = "worker"
	RoleWeb        = "web"
)

// Overrides are what flags say; empty says nothing.
type Overrides struct {
	Listen, Data, LogLevel, LogFormat string
	Roles                             []string
}

// Load reads the configuration: file (may be ""), then environment, then
// overrides, then defaults for what is still unsaid. The error is a
// strictyaml.Problems where the files are at fault.
func Load(file string, getenv func(string) string, o Overrides) (*Config, error) {
	c := &Config{}
	f := files{}
	f.read(file, c, &c.File)
	for _, name := range c.PolicyFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(file), name)
		}
		part := &policy.File{}
		f.read(name, part, part)
	}
	merged, err := f.merge()
	if err != nil {
		return nil, err
	}
	c.File = *merged
	if err := c.environment(getenv); err != nil {
		return nil, err
	}
	c.override(o)
	c.defaults()
	return c, c.validate()
}

// files collects what the configuration's files say, and what is wrong in any
// of them.
type files struct {
	parts    []policy.Part
	problems policy.Problems
	err      error
}

// read decodes one file into its struct, of which part is the policy part.
func (f *files) read(name string, into any, part *policy.File) {
	if name == "" || f.err != nil {
		return
	}
	text, err := os.ReadFile(name)
	if err != nil {
		f.err = fmt.Errorf("configuration: %w", err)
		return
	}
	doc, err := strictyaml.Parse(name, text)
	var problems policy.Problems
	if errors.As(err, &problems) {
		f.problems = append(f.problems, problems...)
		return
	}
	if f.err = err; err != nil {
		return
	}
	f.problems = append(f.problems, doc.Decode(into)...)
	f.parts = append(f.parts, policy.Part{File: part, Doc: doc})
}

// merge checks the policy parts together. The problems come in the order of
// the files and their lines, one for each place.
func (f *files) merge() (*policy.File, error) {
	if f.err != nil {
		return nil, f.err
	}
	merged, err := policy.Merge(f.parts...)
	var more policy.Problems
	if err != nil && !errors.As(err, &more) {
		return nil, err
	}
	for _, p := range more {
		if !slices.ContainsFunc(f.problems, func(q policy.Problem) bool { return q.File == p.File && q.Line == p.Line && q.Column == p.Column }) {
			f.problems = append(f.problems, p)
		}
	}
	slices.SortStableFunc(f.problems, func(a, b policy.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(f.problems) > 0 {
		return nil, f.problems
	}
	return merged, nil
}

func (c *Config) override(o Overrides) {
	for field, v := range map[*string]string{&c.Listen: o.Listen, &c.Data: o.Data, &c.Log.Level: o.LogLevel, &c.Log.Format: o.LogFormat} {
		if v != "" {
			*field = v
		}
	}
	if len(o.Roles) > 0 {
		c.Roles = o.Roles
	}
}

func (c *Config) defaults() {
	for field, v := range map[*string]string{
		&c.Listen: "127.0.0.1:8080", &c.Data: "modelwarden-data", &c.Log.Level: "info", &c.Log.Format: "json",
	} {
		if *field == "" {
			*field = v
		}
	}
	if len(c.Roles) == 0 {
		c.Roles = []string{RoleSubscriber, RoleWorker, RoleWeb}
	}
	if c.Worker.MaxDeliveries == 0 {
		c.Worker.MaxDeliveries = 20
	}
	if c.Worker.Drain == 0 {
		c.Worker.Drain = policy.Duration(20 * time.Second)
	}
}

func (c *Config) validate() error {
	var errs []error
	for i, r := range c.Roles {
		c.Roles[i] = strings.TrimSpace(r)
		if !slices.Contains([]string{RoleSubscriber, RoleWorker, RoleWeb}, c.Roles[i]) {
			errs = append(errs, fmt.Errorf("roles: %q is not a role: want subscriber, worker or web", r))
		}
	}
	if !slices.Contains([]string{"json", "console"}, c.Log.Format) {
		errs = append(errs, fmt.Errorf("log.format: %q: want json or console", c.Log.Format))
	}
	if c.Worker.Batch < 0 || c.Worker.Loops < 0 || c.Worker.MaxDeliveries < 0 {
		errs = append(errs, errors.New("worker: batch, loops and maxDeliveries can't be negative"))
	}
	return errors.Join(append(errs, c.validateAzure())...)
}

// needsStore says whether this process reads and writes records.
func (c *Config) needsStore() bool { return c.hasRole(RoleWorker) || c.hasRole(RoleWeb) }

// hasRole says whether this process plays a role.
func (c *Config) hasRole(role string) bool { return slices.Contains(c.Roles, role) }

// secretOf reads a secret: from the variable that env names, from the file,
// or from the variable direct; "" when none is configured.
func secretOf(what, env, file, direct string, getenv func(string) string) (string, error) {
	switch {
	case env != "" && file != "":
		return "", fmt.Errorf("%s: name an environment variable or a file, not both", what)
	case env != "":
		if v := getenv(env); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("%s: the environment variable %s is empty", what, env)
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		if v := strings.TrimSpace(string(b)); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("%s: the file %s is empty", what, file)
	}
	return strings.TrimSpace(getenv(direct)), nil
}
