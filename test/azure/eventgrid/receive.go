package eventgrid

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Bounds and defaults of a receive ("Receive Cloud Events").
const (
	maxReceive     = 100
	defaultReceive = 1
	minWait        = 10
	maxWait        = 120
	defaultWait    = 60
)

// taken is one event of a page.
type taken struct {
	Broker broker          `json:"brokerProperties"`
	Event  json.RawMessage `json:"event"`
}

type broker struct {
	LockToken     string `json:"lockToken"`
	DeliveryCount int    `json:"deliveryCount"`
}

// junk is JSON and no CloudEvent: its time has no zone and it has no source.
var junk = json.RawMessage(`{"specversion":"1.0","id":"junk","type":"junk","time":"2026-01-02T03:04:05"}`)

// receive answers as soon as there is an event, or with an empty page when
// the wait is over.
func receive(w http.ResponseWriter, r *http.Request, q *queue, fault Fault) *failure {
	n, ok := number(r, "maxEvents", defaultReceive, 1, maxReceive)
	if !ok {
		return badRequest("maxEvents must be between 1 and 100.")
	}
	seconds, ok := number(r, "maxWaitTime", defaultWait, minWait, maxWait)
	if !ok {
		return badRequest("maxWaitTime must be between 10 and 120.")
	}
	if fault == Junk {
		q.add([]json.RawMessage{junk})
	}
	page := await(r, q, n, time.Duration(seconds)*time.Second)
	if fault == LoseLocks {
		q.loseLocks(page)
	}
	writeJSON(w, http.StatusOK, map[string]any{"value": append([]taken{}, page...)})
	return nil
}

// await waits for events. A client that has left gets none.
func await(r *http.Request, q *queue, n int, patience time.Duration) []taken {
	over := make(chan struct{})
	stop := q.clock.AfterFunc(patience, func() { close(over) })
	defer stop()
	for r.Context().Err() == nil {
		page, changed := q.take(n)
		if len(page) > 0 {
			return page
		}
		select {
		case <-changed:
		case <-over: // what comes in the last moment counts
			page, _ = q.take(n)
			return page
		case <-r.Context().Done():
		}
	}
	return nil
}

func number(r *http.Request, name string, fallback, low, high int) (int, bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, true
	}
	v, err := strconv.Atoi(text)
	return v, err == nil && v >= low && v <= high
}
