package servicebus

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// connection is what we must know of a connection string before the SDK gets
// it.
type connection struct {
	host     string // with the port, if it names one
	queue    string // its EntityPath
	secrets  []string
	emulator bool
}

// parseConnectionString reads keys the way azservicebus does: any case, no
// trimming, the last of several counts. What it refuses, it refuses without
// repeating values: a slip of the pen may put a key anywhere.
func parseConnectionString(s string) (connection, error) {
	var c connection
	for _, part := range strings.Split(s, ";") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return c, errors.New("the connection string has a part that is not key=value")
		}
		if err := c.set(strings.ToLower(key), value); err != nil {
			return c, err
		}
	}
	switch {
	case c.host == "":
		return c, errors.New("the connection string lacks an Endpoint as sb://contoso.servicebus.windows.net")
	case len(c.secrets) == 0:
		return c, errors.New("the connection string has neither SharedAccessKey nor SharedAccessSignature")
	case c.emulator && !loopback(c.host):
		return c, errors.New("the connection string says UseDevelopmentEmulator=true, which switches TLS off, and its host is not this machine: only 127.0.0.0/8, ::1 and localhost may do without")
	}
	return c, nil
}

func (c *connection) set(key, value string) error {
	switch key {
	case "endpoint":
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "sb" || u.Host == "" {
			return errors.New("the connection string's Endpoint is not of the form sb://contoso.servicebus.windows.net")
		}
		c.host = u.Host
	case "entitypath":
		c.queue = value
	case "sharedaccesskey", "sharedaccesssignature":
		if value != "" {
			c.secrets = append(c.secrets, value)
		}
	case "usedevelopmentemulator":
		emulator, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("the connection string's UseDevelopmentEmulator is neither true nor false")
		}
		c.emulator = emulator
	}
	return nil
}

// loopback tells whether a host, with or without a port, is this machine by
// its very name: nothing is looked up.
func loopback(host string) bool {
	u := url.URL{Host: host}
	name := u.Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// redactor takes the secrets out of texts that others wrote.
func (c *connection) redactor() *strings.Replacer {
	var pairs []string
	for _, secret := range c.secrets {
		pairs = append(pairs, secret, "[redacted]")
		if escaped := url.QueryEscape(secret); escaped != secret {
			pairs = append(pairs, escaped, "[redacted]")
		}
	}
	return strings.NewReplacer(pairs...)
}
