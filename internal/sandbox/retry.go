package sandbox

import (
	"net/http"
	"time"
)

// Event Grid's retry policy for webhooks, without its small randomisation:
// https://learn.microsoft.com/azure/event-grid/delivery-and-retry
const (
	maxAttempts = 30
	timeToLive  = 24 * time.Hour
	// patience is how many failures in a row make Event Grid hold back
	// everything for an endpoint, new events included, until the next retry.
	patience = 10
)

var retrySchedule = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute,
	30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
}

// retryDelay is the wait after so many failed attempts, the last of which was
// answered with status (0: no answer). Some answers have a minimum.
func retryDelay(attempts, status int) time.Duration {
	d := retrySchedule[min(max(attempts, 1), len(retrySchedule))-1]
	switch status {
	case http.StatusRequestTimeout:
		return max(d, 2*time.Minute)
	case http.StatusServiceUnavailable:
		return max(d, 30*time.Second)
	}
	return d
}

// retryable tells whether Event Grid tries a webhook again after an answer.
func retryable(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusNotFound, http.StatusRequestEntityTooLarge:
		return false
	}
	return true
}
