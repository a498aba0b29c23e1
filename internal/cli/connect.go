package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
)

// maxSecretFile bounds a file that holds one token or secret.
const maxSecretFile = 64 << 10

// connect reads the global flags and the environment. It sends nothing.
func (p *program) connect() (*client, error) {
	base, err := p.serverURL()
	if err != nil {
		return nil, err
	}
	if p.timeout <= 0 {
		return nil, Usagef("--timeout %s: want more than zero", p.timeout)
	}
	c := &client{base: base, http: p.HTTPClient, timeout: p.timeout}
	if p.tokenFile != "" {
		c.token, err = readSecret(p.tokenFile)
	} else {
		c.token, err = oneLineSecret("MODELWARDEN_TOKEN", []byte(p.Getenv("MODELWARDEN_TOKEN")))
	}
	return c, err
}

func (p *program) serverURL() (*url.URL, error) {
	from, raw := "--server", p.server
	if raw == "" {
		from, raw = "MODELWARDEN_SERVER", p.Getenv("MODELWARDEN_SERVER")
	}
	if raw == "" {
		raw = defaultServer
	}
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, Usagef("%s %q: want an address such as %s", from, raw, defaultServer)
	case u.User != nil:
		return nil, Usagef("%s must not carry a password: use MODELWARDEN_TOKEN or --token-file", from)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, Usagef("%s %q: want an address without ? and #", from, raw)
	}
	return u, nil
}

// readSecret reads a file that holds one token or secret on one line.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	if len(body) > maxSecretFile {
		return "", fmt.Errorf("secret file %s: larger than %d KiB", path, maxSecretFile>>10)
	}
	secret, err := oneLineSecret(path, body)
	if err == nil && secret == "" {
		err = fmt.Errorf("secret file %s: it is empty", path)
	}
	return secret, err
}

// oneLineSecret trims what editors add at the end. Errors never show what
// was read.
func oneLineSecret(where string, raw []byte) (string, error) {
	secret := string(bytes.TrimSpace(raw))
	if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("%s: want one line of printable ASCII without spaces", where)
	}
	return secret, nil
}
