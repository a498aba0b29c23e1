package eventgrid

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// answering is a transport that always answers the same.
type answering string

func (a answering) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}

func TestAnswersAreBounded(t *testing.T) {
	for _, tt := range []struct {
		body string
		want error
	}{{"12345", nil}, {"1234567890", nil}, {"12345678901", errTooLong}} {
		answer, err := bounded{answering(tt.body), 10}.Do(nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if !errors.Is(err, tt.want) || len(text) != len(tt.body) {
			t.Errorf("read %q, %v of %q", text, err, tt.body)
		}
	}
}

func TestTextsOfOthersAreTamed(t *testing.T) {
	a := access{key: "a+b/c="}
	if got := a.hide("no\n\x00 a+b/c= nor\ta%2Bb%2Fc%3D\xff"); strings.Contains(got, "a+b") || strings.Contains(got, "a%2Bb") || strings.ContainsFunc(got, unicode.IsControl) || !utf8.ValidString(got) {
		t.Errorf("hidden: %q", got)
	}
	if got := a.hide(strings.Repeat("é", 1000)); len(got) > maxText+len("…") || strings.Contains(got, "\ufffd") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
