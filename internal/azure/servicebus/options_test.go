package servicebus

import (
	"context"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const (
	secretKey  = "c2VjcmV0+l/="
	goodString = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=" + secretKey
)

type someone struct{}

func (someone) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, nil
}

func TestEmulatorOnlyHere(t *testing.T) {
	for endpoint, here := range map[string]bool{
		"sb://127.0.0.1":                      true,
		"sb://127.0.0.1:5672":                 true,
		"sb://127.255.3.4:1":                  true,
		"sb://localhost":                      true,
		"sb://LocalHost:5672/":                true,
		"sb://[::1]:5672":                     true,
		"sb://[::ffff:127.0.0.1]:5672":        true,
		"sb://contoso.servicebus.windows.net": false,
		"sb://127.0.0.1.evil.example":         false,
		"sb://localhost.evil.example":         false,
		"sb://localhost@evil.example":         false,
		"sb://127.0.0.1:pw@evil.example":      false,
		"sb://evil.example/127.0.0.1":         false,
		"sb://evil.example#localhost":         false,
		"sb://evil.example?h=localhost":       false,
		"sb://0.0.0.0":                        false,
		"sb://128.0.0.1":                      false,
		"sb://[::2]":                          false,
		"sb://2130706433":                     false,
		"sb://0x7f.1":                         false,
	} {
		for _, emulator := range []string{"true", "TRUE", "1", "t"} {
			s := "Endpoint=" + endpoint + ";SharedAccessKeyName=n;SharedAccessKey=" + secretKey + ";usedevelopmentEMULATOR=" + emulator
			c, err := Open(Options{ConnectionString: s, Queue: "q"})
			if (err == nil) != here {
				t.Errorf("%s with the emulator (%s): %v", endpoint, emulator, err)
			}
			if err == nil {
				_ = c.Close()
			} else if strings.Contains(err.Error(), secretKey) {
				t.Errorf("the secret is in: %v", err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"nothing":                  {},
		"no queue":                 {ConnectionString: goodString},
		"no credential":            {Namespace: "contoso.servicebus.windows.net", Queue: "q"},
		"a URL for a namespace":    {Namespace: "sb://contoso.servicebus.windows.net", Credential: someone{}, Queue: "q"},
		"a string for a namespace": {Namespace: goodString, Credential: someone{}, Queue: "q"},
		"both":                     {Namespace: "contoso.servicebus.windows.net", Credential: someone{}, ConnectionString: goodString, Queue: "q"},
		"no key":                   {ConnectionString: "Endpoint=sb://h;SharedAccessKeyName=n", Queue: "q"},
		"no endpoint":              {ConnectionString: "SharedAccessKeyName=n;SharedAccessKey=" + secretKey, Queue: "q"},
		"no key name":              {ConnectionString: "Endpoint=sb://h;SharedAccessKey=" + secretKey, Queue: "q"},
		"commas":                   {ConnectionString: strings.ReplaceAll(goodString, ";", ","), Queue: "q"},
		"commas, with emulator":    {ConnectionString: "Endpoint=sb://h,SharedAccessKey=" + secretKey + ";UseDevelopmentEmulator=true", Queue: "q"},
		"a key alone":              {ConnectionString: secretKey, Queue: "q"},
		"a key as a flag":          {ConnectionString: goodString + ";UseDevelopmentEmulator=" + secretKey, Queue: "q"},
		"another scheme":           {ConnectionString: "Endpoint=https://h;SharedAccessKeyName=n;SharedAccessKey=" + secretKey, Queue: "q"},
		"another queue":            {ConnectionString: goodString + ";EntityPath=p", Queue: "q"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Open(o)
			if err == nil {
				_ = c.Close()
				t.Fatal("was accepted")
			}
			if strings.Contains(err.Error(), strings.TrimRight(secretKey, "=")) {
				t.Errorf("the secret is in: %v", err)
			}
		})
	}
}

func TestOpenAccepts(t *testing.T) {
	for name, o := range map[string]Options{
		"a connection string":       {ConnectionString: goodString, Queue: "q"},
		"a queue's string":          {ConnectionString: goodString + ";EntityPath=q"},
		"a queue's string, by name": {ConnectionString: goodString + ";EntityPath=Q", Queue: "q"},
		"an identity":               {Namespace: "contoso.servicebus.windows.net", Credential: someone{}, Queue: "q"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("a second Close: %v", err)
			}
		})
	}
}
