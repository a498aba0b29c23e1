package clock_test

import (
	"slices"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/clock"
)

func TestManualRunsWhatFallsDueInOrder(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := clock.NewManual(start)
	var ran []string
	note := func(name string) func() {
		return func() { ran = append(ran, name+"@"+c.Now().Sub(start).String()) }
	}
	c.AfterFunc(3*time.Second, note("c"))
	c.AfterFunc(time.Second, func() {
		note("a")()
		c.AfterFunc(time.Second, note("b"))
	})
	stop := c.AfterFunc(2*time.Second, note("never"))
	stop()
	stop()
	c.Advance(2 * time.Second)
	if want := []string{"a@1s", "b@2s"}; !slices.Equal(ran, want) {
		t.Fatalf("ran %v, want %v", ran, want)
	}
	c.Advance(time.Hour)
	if want := []string{"a@1s", "b@2s", "c@3s"}; !slices.Equal(ran, want) {
		t.Fatalf("ran %v, want %v", ran, want)
	}
	if got := c.Now(); !got.Equal(start.Add(time.Hour + 2*time.Second)) {
		t.Errorf("it is %v", got)
	}
}
