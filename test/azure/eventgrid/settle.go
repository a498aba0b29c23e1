package eventgrid

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokenPrefix begins every lock token; what does not begin so was never one.
const tokenPrefix = "lock-"

// maxTokens bounds the lock tokens of one request.
const maxTokens = 100

// settlement does something about one event whose lock holds. It is called
// with the queue's lock held.
type settlement func(q *queue, p *parcel, delay time.Duration)

var settlements = map[string]settlement{
	OpAcknowledge: func(q *queue, p *parcel, _ time.Duration) {
		q.remove(p)
		q.stats.Acknowledged++
	},
	OpRelease: func(q *queue, p *parcel, delay time.Duration) {
		p.token, p.until = "", q.clock.Now().Add(delay)
		q.tidy()
		q.wakeIn(delay)
		q.wake()
	},
	OpReject: func(q *queue, p *parcel, _ time.Duration) { q.giveUp(p, "Rejected") },
	OpRenew: func(q *queue, p *parcel, _ time.Duration) {
		p.until = q.clock.Now().Add(q.LockDuration)
		q.wakeIn(q.LockDuration)
	},
}

// releaseDelays are the values of releaseDelayInSeconds that exist.
var releaseDelays = []int{0, 10, 60, 600, 3600}

// failedToken says why nothing was done about a token.
type failedToken struct {
	LockToken string            `json:"lockToken"`
	Error     map[string]string `json:"error"`
}

// answerTokens settles each token for itself. The answer is 200 even when all
// of them failed.
func answerTokens(w http.ResponseWriter, r *http.Request, q *queue, settle settlement) *failure {
	body, refused := readBody(w, r)
	if refused != nil {
		return refused
	}
	var asked struct {
		LockTokens []string `json:"lockTokens"`
	}
	if json.Unmarshal(body, &asked) != nil || len(asked.LockTokens) == 0 || len(asked.LockTokens) > maxTokens {
		return badRequest("lockTokens must hold 1 to 100 lock tokens.")
	}
	delay, ok := releaseDelay(r)
	if !ok {
		return badRequest("releaseDelayInSeconds must be one of 0, 10, 60, 600, 3600.")
	}
	succeeded, failed := q.settle(asked.LockTokens, settle, delay)
	writeJSON(w, http.StatusOK, map[string]any{"succeededLockTokens": succeeded, "failedLockTokens": failed})
	return nil
}

func releaseDelay(r *http.Request) (time.Duration, bool) {
	text := r.URL.Query().Get("releaseDelayInSeconds")
	if text == "" {
		return 0, true
	}
	seconds, err := strconv.Atoi(text)
	return time.Duration(seconds) * time.Second, err == nil && slices.Contains(releaseDelays, seconds)
}

func (q *queue) settle(tokens []string, settle settlement, delay time.Duration) ([]string, []failedToken) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidy()
	succeeded, failed := []string{}, []failedToken{}
	for _, token := range tokens {
		p := q.find(token)
		switch {
		case p != nil:
			settle(q, p, delay)
			succeeded = append(succeeded, token)
		case strings.HasPrefix(token, tokenPrefix):
			failed = append(failed, failedToken{token, map[string]string{"code": "TokenLost", "message": "Token has expired."}})
		default:
			failed = append(failed, failedToken{token, map[string]string{"code": "BadToken", "message": "Token is malformed."}})
		}
	}
	return succeeded, failed
}
