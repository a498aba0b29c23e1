package eventgrid

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// access is how to reach an endpoint and to be let in.
type access struct {
	endpoint   string
	key        string
	credential azcore.TokenCredential
	transport  policy.Transporter
	// role is what an identity needs.
	role string
}

// check finds what can't work before anybody is asked.
func (a *access) check() error {
	u, err := url.Parse(a.endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https":
		return errors.New("the endpoint must be an https address")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("the endpoint must have no user, query or fragment: credentials are given apart")
	case (a.key == "") == (a.credential == nil):
		return errors.New("give either a key or a credential")
	}
	return nil
}

// client are the options of an SDK client. The SDK's retries are off, so that
// there is one place that retries, and one Retry-After that counts.
func (a *access) client() azcore.ClientOptions {
	transport := a.transport
	if transport == nil {
		transport = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return azcore.ClientOptions{
		Transport: bounded{transport, maxAnswer}, Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{ApplicationID: "modelwarden"},
	}
}

func (a *access) keyCredential() *azcore.KeyCredential { return azcore.NewKeyCredential(a.key) }

// maxAnswer bounds an answer, in bytes: a page has at most 100 events of at
// most 1 MB ("Azure Event Grid quotas and limits"), and what is around them.
const maxAnswer = 128 << 20

var errTooLong = errors.New("the answer is longer than any that Event Grid gives")

// bounded is a transport whose answers end in an error after limit bytes,
// because the SDK reads them whole.
type bounded struct {
	policy.Transporter
	limit int64
}

// Do implements policy.Transporter.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	answer, err := b.Transporter.Do(r)
	if err == nil && answer.Body != nil {
		answer.Body = &boundedBody{ReadCloser: answer.Body, left: b.limit + 1}
	}
	return answer, err
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// hide removes the key from a text that may repeat it, makes one line of the
// text and cuts it.
func (a *access) hide(text string) string {
	if a.key != "" {
		text = strings.NewReplacer(a.key, "[redacted]", url.QueryEscape(a.key), "[redacted]").Replace(text)
	}
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// maxText bounds what an error repeats of others' texts, in bytes.
const maxText = 300
