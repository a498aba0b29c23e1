package main

import "github.com/modelwarden/modelwarden/internal/sandbox"

// arena holds rendered events one after the other, with a comma between them,
// so that any run of neighbours between brackets is a JSON array: a request of
// any batch size is sent from here without being put together first.
type arena struct {
	text []byte
	ends []int
}

// newArena renders a generated history as CloudEvents, which all servers
// read. Ids are unique.
func newArena(o sandbox.GenOptions) *arena {
	o.Schema = sandbox.CloudEvents
	a := &arena{text: make([]byte, 0, 900*o.Events), ends: make([]int, 0, o.Events)}
	for e := range sandbox.Generate(o) {
		a.add(e.Body)
	}
	return a
}

func (a *arena) add(body []byte) {
	if len(a.ends) > 0 {
		a.text = append(a.text, ',')
	}
	a.text = append(a.text, body...)
	a.ends = append(a.ends, len(a.text))
}

func (a *arena) len() int { return len(a.ends) }

// slice is the events from (included) to to (excluded), separated by commas.
func (a *arena) slice(from, to int) []byte {
	start := 0
	if from > 0 {
		start = a.ends[from-1] + 1
	}
	return a.text[start:a.ends[to-1]]
}
