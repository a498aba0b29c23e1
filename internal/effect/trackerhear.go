package effect

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/modelwarden/modelwarden/internal/review"
)

// What a review keeps of a person's name and of what they wrote, in characters:
// it bounds both in bytes.
const (
	maxHeardName = 60
	maxHeardText = 600
)

// hubSigned reports whether a header's value is "sha256=" and the HMAC of body
// in hexadecimal, as GitHub and Jira sign (WebSub, X-Hub-Signature).
func hubSigned(secret, value string, body []byte) bool {
	sum, ok := strings.CutPrefix(value, "sha256=")
	got, err := hex.DecodeString(sum)
	return ok && err == nil && hmac.Equal(got, bodyMAC(secret, body))
}

func bodyMAC(secret string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return mac.Sum(nil)
}

// unreadable is a callback that is signed but not what the tool documents.
func unreadable(tool string, err error) error {
	return fmt.Errorf("the request is not one of %s's: %w", tool, err)
}

// bounded makes what was heard fit for a review; remarks without a word are
// dropped.
func bounded(heard ...Heard) []Heard {
	var out []Heard
	for _, h := range heard {
		h.By = atMostChars(plainLine(h.By), maxHeardName)
		h.Why = atMostChars(strings.TrimSpace(strings.ToValidUTF8(h.Why, "?")), maxHeardText)
		if h.Verb != review.Remark || h.Why != "" {
			out = append(out, h)
		}
	}
	return out
}

// remark is what is heard of a comment.
func (h Heard) remark(text string) Heard {
	h.Verb, h.Why = review.Remark, text
	return h
}

// moved is what is heard of a ticket that somebody moved from one state to
// another. A ticket that goes back to open without having been resolved says
// nothing that a review knows.
func (h Heard) moved(from, to review.State) []Heard {
	var verbs []review.Verb
	if from == review.Resolved && (to == review.Open || to == review.Acknowledged) {
		verbs = append(verbs, review.Reopen)
	}
	switch {
	case to == from:
	case to == review.Acknowledged:
		verbs = append(verbs, review.Ack)
	case to == review.Resolved:
		verbs = append(verbs, review.Resolve)
	}
	out := make([]Heard, len(verbs))
	for i, v := range verbs {
		out[i] = h
		out[i].Verb = v
	}
	return out
}
