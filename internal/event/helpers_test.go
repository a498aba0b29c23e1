package event_test

import (
	"os"
	"testing"

	"github.com/modelwarden/modelwarden/internal/event"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newParser(t testing.TB) *event.Parser {
	t.Helper()
	p, err := event.NewParser(event.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
