package effect

import (
	"fmt"
	"io"
	"os"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// readSecrets reads the signing secrets, the present one first.
func readSecrets(t *policy.WebhookTarget, lookup func(string) (string, bool)) ([]string, error) {
	var secrets []string
	switch {
	case t.SecretEnv != "":
		s, ok := lookup(t.SecretEnv)
		if !ok || s == "" {
			return nil, fmt.Errorf("secretEnv: the environment variable %s is not set", t.SecretEnv)
		}
		secrets = append(secrets, s)
	case t.SecretFile != "":
		s, err := readSecretFile(t.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("secretFile: %w", err)
		}
		secrets = append(secrets, s)
	}
	if s, ok := lookup(t.PreviousSecretEnv); t.PreviousSecretEnv != "" && ok && s != "" {
		secrets = append(secrets, s)
	}
	return secrets, nil
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
