package porttest

import (
	"bytes"
	"fmt"
	"maps"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

func lawArrives(l *queueLaw) {
	before := time.Now()
	sent := lineage.Message{ID: "m-1", Body: []byte(`{"a":1}`), Properties: map[string]string{"k": "v", "": "empty", "ü": ""}}
	l.must(l.Queue().Send(l.ctx, []lineage.Message{sent}))
	d := l.one()
	if d.ID != sent.ID || !bytes.Equal(d.Body, sent.Body) || !maps.Equal(d.Properties, sent.Properties) {
		l.Errorf("got %+v, sent %+v", d.Message, sent)
	}
	if d.Attempt != 1 {
		l.Errorf("attempt %d, want 1", d.Attempt)
	}
	if d.Lease == "" || !d.LeasedUntil.After(before) {
		l.Errorf("lease %q until %v", d.Lease, d.LeasedUntil)
	}
	if d.Enqueued.Before(before.Add(-time.Minute)) || d.Enqueued.After(d.LeasedUntil) {
		l.Errorf("enqueued %v, want about %v", d.Enqueued, before)
	}
}

func lawBytes(l *queueLaw) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, body := range [][]byte{every, {0}, []byte("\xff\xfe"), {}, nil} {
		l.must(l.Queue().Send(l.ctx, []lineage.Message{{ID: "x", Body: body}}))
		d := l.one()
		if !bytes.Equal(d.Body, body) {
			l.Errorf("sent %x, got %x", body, d.Body)
		}
		l.done(d)
	}
}

func lawLarge(l *queueLaw) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 900<<10/16)
	l.must(l.Queue().Send(l.ctx, []lineage.Message{{ID: "large", Body: body}, {ID: "small"}}))
	for _, d := range l.receive(2) {
		if d.ID == "large" && !bytes.Equal(d.Body, body) {
			l.Errorf("a body of %d bytes came back as one of %d", len(body), len(d.Body))
		}
	}
}

func lawBatch(l *queueLaw) {
	const count = 1000
	var all []lineage.Message
	for i := range count {
		all = append(all, lineage.Message{ID: fmt.Sprint(i), Body: []byte(fmt.Sprint("body of ", i))})
	}
	l.must(l.Queue().Send(l.ctx, all))
	seen := map[string]bool{}
	for _, d := range l.receive(count) {
		if string(d.Body) != "body of "+d.ID || seen[d.ID] {
			l.Fatalf("message %s came twice or with the body %q", d.ID, d.Body)
		}
		seen[d.ID] = true
		l.done(d)
	}
	l.nothing()
}

func lawEmptySend(l *queueLaw) {
	l.must(l.Queue().Send(l.ctx, nil))
	l.nothing()
}

func lawDelayed(l *queueLaw) {
	due := time.Now().Add(time.Hour)
	l.must(l.Queue().Send(l.ctx, []lineage.Message{
		{ID: "later", Body: []byte("later"), NotBefore: due},
		{ID: "now", Body: []byte("now")},
	}))
	if d := l.one(); d.ID != "now" {
		l.Fatalf("received %s first", d.ID)
	}
	l.Advance(time.Hour - time.Minute)
	l.settleAll()
	l.Advance(time.Minute)
	if d := l.one(); d.ID != "later" || string(d.Body) != "later" || d.Attempt != 1 {
		l.Fatalf("received %+v", d)
	}
}

// settleAll ends whatever is deliverable that is not the delayed message.
func (l *queueLaw) settleAll() {
	d := l.one() // its lease is over by now
	if d.ID != "now" {
		l.Fatalf("received %s early", d.ID)
	}
	l.done(d)
	l.nothing()
}

func lawDelayedReopen(l *queueLaw) {
	l.must(l.Queue().Send(l.ctx, []lineage.Message{{ID: "later", NotBefore: time.Now().Add(time.Hour)}}))
	l.Reopen(l.T)
	l.nothing()
	l.Advance(time.Hour)
	if d := l.one(); d.ID != "later" {
		l.Fatalf("received %s", d.ID)
	}
}

func lawPastDelay(l *queueLaw) {
	l.must(l.Queue().Send(l.ctx, []lineage.Message{{ID: "past", NotBefore: time.Now().Add(-time.Hour)}}))
	l.one()
}

func lawReopen(l *queueLaw) {
	l.send("a", "b", "c")
	l.Reopen(l.T)
	seen := map[string]bool{}
	for _, d := range l.receive(3) {
		seen[string(d.Body)] = true
	}
	if len(seen) != 3 {
		l.Errorf("of three messages %v survived", seen)
	}
}

func lawReopenDone(l *queueLaw) {
	l.send("a", "b", "c")
	done := map[string]bool{}
	for _, d := range l.receive(2) {
		l.done(d)
		done[d.ID] = true
	}
	l.Reopen(l.T)
	if d := l.one(); done[d.ID] {
		l.Fatalf("%s came back", d.ID)
	}
	l.nothing()
}

func lawDepth(l *queueLaw) {
	l.must(l.Queue().Send(l.ctx, []lineage.Message{
		{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "later", NotBefore: time.Now().Add(time.Hour)},
	}))
	ds := l.receive(2)
	l.settle(lineage.Settlement{Lease: ds[0].Lease, Verdict: lineage.Dead, Reason: "test"})
	got, err := l.Queue().Depth(l.ctx)
	l.must(err)
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"ready", got.Ready, 2}, {"leased", got.Leased, 1}, {"delayed", got.Delayed, 1}, {"dead", got.Dead, 1},
	} {
		if c.got != c.want && c.got != -1 {
			l.Errorf("%s: %d, want %d or -1", c.what, c.got, c.want)
		}
	}
}
