package app

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// envPrefix begins the name of every variable.
const envPrefix = "MODELWARDEN_"

// connectionStringEnv holds a connection string itself.
const connectionStringEnv = envPrefix + "SERVICEBUS_CONNECTION_STRING"

// environment lets variables override what the file says. An empty variable
// says nothing.
func (c *Config) environment(getenv func(string) string) error {
	names, err := variables()
	if err != nil {
		return err
	}
	given := map[string]string{}
	for _, name := range names {
		if v := getenv(name); v != "" {
			given[name] = v
		}
	}
	hadEntra := c.Auth.Entra != nil
	c.Queue.ServiceBus.connected = getenv(connectionStringEnv) != ""
	err = env.ParseWithOptions(c, envOptions(given))
	if !hadEntra && reflect.ValueOf(c.Auth.Entra).Elem().IsZero() {
		c.Auth.Entra = nil
	}
	return envProblem(err)
}

func envOptions(given map[string]string) env.Options {
	return env.Options{Prefix: envPrefix, Environment: given, FuncMap: map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[policy.Duration](): func(v string) (any, error) { return policy.ParseDuration(v) },
	}}
}

// variables are the names of all variables that settings have.
func variables() ([]string, error) {
	c := Config{Auth: AuthConfig{Entra: &EntraConfig{}}}
	params, err := env.GetFieldParamsWithOptions(&c, envOptions(map[string]string{}))
	if err != nil {
		return nil, fmt.Errorf("environment variables of the configuration: %w", err)
	}
	var names []string
	for _, p := range params {
		if p.OwnKey != "" {
			names = append(names, p.Key)
		}
	}
	return names, nil
}

// envProblem names the settings whose variables can't be read. It does not
// repeat values: a secret may have ended up in the wrong variable.
func envProblem(err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var out []error
	for _, e := range all.Errors {
		var p env.ParseError
		if errors.As(e, &p) {
			e = fmt.Errorf("environment: the variable for the setting %s can't be read as %s", lowerFirst(p.Name), wants(p.Type))
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func wants(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[policy.Duration]():
		return "a time such as 90s, 30m, 6h or 2d"
	case t.Kind() == reflect.Map:
		return "name=value,name=value"
	case t.Kind() == reflect.Slice:
		return "a list separated by commas"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a number"
}
