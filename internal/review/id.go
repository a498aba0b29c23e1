package review

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/modelwarden/modelwarden/internal/event"
)

// digestLength is the length of event.Digest's result.
const digestLength = 26

// digest is what stands for a cause in ids and partition names: causes are
// free text and may hold any character.
func digest(cause string) string { return event.Digest("review", cause) }

// newID names the n-th review of the cause with this digest.
func newID(digest string, n int) string { return digest + "-" + strconv.Itoa(n) }

// splitID reads an id back into the cause's digest and the number.
func splitID(id string) (digest string, n int, err error) {
	digest, number, ok := strings.Cut(id, "-")
	n, convErr := strconv.Atoi(number)
	if !ok || convErr != nil || n < 1 || newID(digest, n) != id || !isDigest(digest) {
		return "", 0, fmt.Errorf("review id %q: want %d characters, a dash and a number", clip(id, 80), digestLength)
	}
	return digest, n, nil
}

func isDigest(s string) bool {
	if len(s) != digestLength {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
