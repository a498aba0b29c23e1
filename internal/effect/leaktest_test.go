package effect_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// What every target test gives its target to keep.
const (
	theSecret   = "whsec_c3VwZXItc2VjcmV0LXNpZ25pbmcta2V5"
	thePassword = "pa55-w0rd"
	theToken    = "q-t0ken-of-the-url"
	theHeader   = "Bearer header-cr3dential"
	thePath     = "/hooks/T0PATH/B1secret"
	theKey      = "ghp_t0ken-of-a-service"
)

// credentials are the texts that nothing may ever show.
func credentials() []string {
	return []string{
		theSecret, strings.TrimPrefix(theSecret, "whsec_"), "super-secret-signing-key",
		thePassword, theToken, strings.TrimPrefix(theHeader, "Bearer "), thePath,
		theKey, base64.StdEncoding.EncodeToString([]byte(":" + theKey)),
	}
}

// assertNoLeak fails when an outcome, an error (however printed, and all that
// it wraps) or another text holds a credential. Every target's tests use it.
func assertNoLeak(t *testing.T, out policy.Outcome, err error, more ...string) {
	t.Helper()
	shown, jerr := json.Marshal(out)
	if jerr != nil {
		t.Fatal(jerr)
	}
	texts := append(more, string(shown))
	for e := err; e != nil; e = errors.Unwrap(e) {
		texts = append(texts, e.Error(), fmt.Sprintf("%+v %#v", e, e))
	}
	for _, text := range texts {
		for _, c := range credentials() {
			if strings.Contains(text, c) {
				t.Errorf("a credential (%s…) shows in: %s", c[:4], text)
			}
		}
	}
}

var t0 = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// action is a decided action of a type.
func action(kind policy.ActionType) policy.Action {
	const key, partition = "abcdefghijklmnopqrstuvwxyz", "monitor/contoso-ml/churn"
	return policy.Action{
		ID: policy.ActionID(key, partition), Key: key, Type: kind, Target: "hook",
		Policy: "churn-drift", PolicyHash: "h1", Event: "e1@" + partition,
		Asset: partition, Model: "model/contoso-ml/churn", Window: "run-7", Cause: "churn drifts",
		Severity: "warning", Title: "churn drifts", Reason: "PSI 0.35 over 0.2",
		Inputs:   map[string]any{"value": 0.35},
		Occurred: t0, Created: t0.Add(time.Minute), State: policy.Claimed,
	}
}

func isPermanent(err error) bool {
	var p *policy.PermanentError
	return errors.As(err, &p)
}

// retryAfter is what a retryable error asks to wait.
func retryAfter(err error) time.Duration {
	var r *policy.RetryAfterError
	if errors.As(err, &r) {
		return r.After
	}
	return 0
}
