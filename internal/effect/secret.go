package effect

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// readSecrets reads the signing secrets, the present one first.
func readSecrets(t *policy.WebhookTarget, lookup func(string) (string, bool)) ([]string, error) {
	secret, err := readSecret("secret", t.SecretEnv, t.SecretFile, lookup)
	if err != nil {
		return nil, err
	}
	var secrets []string
	if secret != "" {
		secrets = append(secrets, secret)
	}
	if s, ok := lookup(t.PreviousSecretEnv); t.PreviousSecretEnv != "" && ok && s != "" {
		secrets = append(secrets, s)
	}
	return secrets, nil
}

// readToken reads what a service is called with.
func readToken(t *policy.Token, lookup func(string) (string, bool)) (string, error) {
	token, err := readSecret("token", t.TokenEnv, t.TokenFile, lookup)
	if err == nil && token == "" {
		err = errors.New("token: is missing: name where it is with tokenEnv or tokenFile")
	}
	return token, err
}

// readCallback reads what a service authenticates its own requests with; ""
// when it makes none.
func readCallback(c *policy.Callback, lookup func(string) (string, bool)) (string, error) {
	return readSecret("callbackSecret", c.CallbackSecretEnv, c.CallbackSecretFile, lookup)
}

// readSecret reads a secret from where a setting's pair of keys (secretEnv and
// secretFile) says; "" when neither does.
func readSecret(setting, env, file string, lookup func(string) (string, bool)) (string, error) {
	switch {
	case env != "":
		s, ok := lookup(env)
		if !ok || s == "" {
			return "", fmt.Errorf("%sEnv: the environment variable %s is not set", setting, env)
		}
		return s, nil
	case file != "":
		s, err := readSecretFile(file)
		if err != nil {
			return "", fmt.Errorf("%sFile: %w", setting, err)
		}
		return s, nil
	}
	return "", nil
}

// maxSecretFile bounds a secret's file, in bytes.
const maxSecretFile = 4 << 10

// readSecretFile reads a secret, without the line end that editors add.
func readSecretFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch s := trimLineEnd(string(b)); {
	case err != nil:
		return "", err
	case len(b) > maxSecretFile:
		return "", fmt.Errorf("%s is larger than %d bytes: is it a secret?", path, maxSecretFile)
	case s == "":
		return "", fmt.Errorf("%s is empty", path)
	default:
		return s, nil
	}
}

func trimLineEnd(s string) string {
	for len(s) > 0 && (s[len(s)-1] == '\n' || s[len(s)-1] == '\r') {
		s = s[:len(s)-1]
	}
	return s
}
