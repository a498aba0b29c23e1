package policy_test

import (
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/policy"
)

func TestStormHasDefaultsAndCanBeSwitchedOff(t *testing.T) {
	for text, want := range map[string]struct {
		models         int
		within, settle time.Duration
	}{
		"policies: []":                    {3, time.Hour, 2 * time.Minute},
		"storm: {models: 0}":              {0, time.Hour, 2 * time.Minute},
		"storm: {models: 5, settle: 10s}": {5, time.Hour, 10 * time.Second},
		"storm: {within: 1m}":             {3, time.Minute, time.Minute},
	} {
		models, within, settle := compile(t, text).Storm()
		if models != want.models || within != want.within || settle != want.settle {
			t.Errorf("%s: got %d models within %s after %s", text, models, within, settle)
		}
	}
}

func TestTwoFilesDoNotBothSetTheStorm(t *testing.T) {
	three, off := 3, 0
	_, err := policy.Merge(policy.Part{File: &policy.File{Storm: &policy.Storm{Models: &three}}}, policy.Part{File: &policy.File{Storm: &policy.Storm{Models: &off}}})
	if err == nil {
		t.Error("two files say different things, and nobody minds")
	}
	f, err := policy.Merge(policy.Part{File: &policy.File{}}, policy.Part{File: &policy.File{Storm: &policy.Storm{Models: &off}}})
	if err != nil || f.Storm == nil {
		t.Errorf("the second file's storm is lost: %v", err)
	}
}

func TestTheStormIsPartOfTheSetsHash(t *testing.T) {
	if compile(t, "policies: []").Hash() != compile(t, "storm: {models: 3}").Hash() || compile(t, "policies: []").Hash() == compile(t, "storm: {models: 4}").Hash() {
		t.Error("the hash does not follow the storm rule")
	}
}
