package eventgrid

import (
	"net/http"
	"slices"
	"time"
)

// schedule is the wait after each failed attempt; the last one repeats
// ("Retry schedule" in "Event Grid message delivery and retry"). The small
// randomization of the service is left out.
var schedule = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
}

// wait is how long after the attempts-th failure the next attempt is due.
func wait(attempts, status int) time.Duration {
	d := schedule[min(attempts, len(schedule))-1]
	switch status {
	case http.StatusRequestTimeout:
		return max(d, 2*time.Minute)
	case http.StatusServiceUnavailable:
		return max(d, 30*time.Second)
	}
	return d
}

// final tells the answers of a webhook that are not retried.
func final(status int) bool {
	return slices.Contains([]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusNotFound, http.StatusRequestEntityTooLarge}, status)
}

func success(status int) bool { return status >= 200 && status <= 204 }

// outcomeOf names a failed delivery.
func outcomeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "BadRequest"
	case http.StatusUnauthorized:
		return "Unauthorized"
	case http.StatusForbidden:
		return "Forbidden"
	case http.StatusNotFound:
		return "NotFound"
	case http.StatusRequestEntityTooLarge:
		return "PayloadTooLarge"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "Busy"
	case http.StatusRequestTimeout:
		return "TimedOut"
	}
	return "GenericError"
}

// Endpoint health: after this many failures in a row an endpoint is left
// alone, new events and retries alike, for a time that doubles up to an hour.
// The service's documentation gives the ten and no times ("Delayed delivery").
const (
	patience = 10
	holdMin  = time.Minute
	holdMax  = time.Hour
)

func hold(failures int) time.Duration {
	d := holdMin
	for n := patience; n < failures && d < holdMax; n++ {
		d *= 2
	}
	return min(d, holdMax)
}
