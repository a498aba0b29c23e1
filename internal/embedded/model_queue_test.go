package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

const (
	modelLease      = 6 * time.Second
	modelDeliveries = 5
	// modelSuspect deliveries make a message come alone.
	modelSuspect = 3
)

// modelMessage is what the model knows of one message.
type modelMessage struct {
	body     []byte
	attempts int
	due      time.Time // deliverable from then on
	lease    lineage.Lease
	until    time.Time // of the lease
	dead     bool
}

func (m *modelMessage) leased(now time.Time) bool { return m.lease != "" && now.Before(m.until) }

func (m *modelMessage) deliverable(now time.Time) bool {
	return !m.dead && !m.leased(now) && !now.Before(m.due)
}

// queueModel is a queue in memory next to the real one.
type queueModel struct {
	t    *testing.T
	h    *harness
	live map[string]*modelMessage
	lost []lineage.Lease // leases that are worth nothing
	sent int
}

func TestQueueBehavesLikeItsModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Hidden from rapid, a bubble's T is not asked for its deadline.
		rapid.Check(struct{ rapid.TB }{t}, func(r *rapid.T) {
			h := &harness{options: embedded.Options{Dir: t.TempDir(), Lease: modelLease, MaxDeliveries: modelDeliveries}}
			h.open(t)
			defer h.Close(t)
			m := &queueModel{t: t, h: h, live: map[string]*modelMessage{}}
			r.Repeat(map[string]func(*rapid.T){
				"send":    m.send,
				"receive": m.receive,
				"settle":  m.settle,
				"extend":  m.extend,
				"late":    m.late,
				"pass":    m.pass,
				"reopen":  m.reopen,
				"dead":    m.exhume,
				"":        m.depth,
			})
			m.end(r)
		})
	})
}

func (m *queueModel) ids(keep func(*modelMessage) bool) (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(m.live)) {
		if keep(m.live[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *queueModel) send(r *rapid.T) {
	var batch []lineage.Message
	size := rapid.SampledFrom([]int{0, 1, 100, 2000, 30_000}).Draw(r, "size")
	for range rapid.IntRange(1, 40).Draw(r, "count") {
		m.sent++
		msg := lineage.Message{ID: fmt.Sprint("m", m.sent), Body: bytes.Repeat([]byte{byte(m.sent)}, size)}
		if rapid.IntRange(0, 9).Draw(r, "delay") == 0 {
			msg.NotBefore = time.Now().Add(9 * time.Second)
		}
		m.live[msg.ID] = &modelMessage{body: msg.Body, due: msg.NotBefore}
		batch = append(batch, msg)
	}
	if err := m.h.Queue().Send(m.t.Context(), batch); err != nil {
		r.Fatal(err)
	}
}

func (m *queueModel) receive(r *rapid.T) {
	m.take(r, rapid.SampledFrom([]int{1, 5, 100}).Draw(r, "max"))
}

func (m *queueModel) take(r *rapid.T, most int) int {
	now := time.Now()
	want := len(m.ids(func(x *modelMessage) bool { return x.deliverable(now) && x.attempts < modelDeliveries }))
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Millisecond)
	defer cancel()
	ds, err := m.h.Queue().Receive(ctx, most)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.Fatal(err)
	}
	suspects := len(m.ids(func(x *modelMessage) bool {
		return x.deliverable(now) && x.attempts >= modelSuspect && x.attempts < modelDeliveries
	}))
	short := suspects > 0 && len(ds) > 0
	if len(ds) > min(most, want) || len(ds) < min(most, want) && !short {
		r.Fatalf("received %d of at most %d, the model has %d, %d of them suspect", len(ds), most, want, suspects)
	}
	for _, d := range ds {
		x := m.live[d.ID]
		if x == nil || !x.deliverable(now) || d.Attempt != x.attempts+1 || d.Attempt > modelSuspect && len(ds) != 1 || !bytes.Equal(d.Body, x.body) {
			r.Fatalf("received %s (attempt %d, %d bytes), the model has %+v", d.ID, d.Attempt, len(d.Body), x)
		}
		if x.lease != "" {
			m.lost = append(m.lost, x.lease)
		}
		x.attempts, x.lease, x.until = d.Attempt, d.Lease, d.LeasedUntil
	}
	// Those without attempts left may have been buried meanwhile: see dead.
	return len(ds)
}

func (m *queueModel) settle(r *rapid.T) {
	now := time.Now()
	leased := m.ids(func(x *modelMessage) bool { return x.leased(now) })
	if len(leased) == 0 {
		r.Skip("nothing is leased")
	}
	var batch []lineage.Settlement
	for _, id := range leased {
		choice := rapid.IntRange(0, 9).Draw(r, "verdict")
		x := m.live[id]
		s := lineage.Settlement{Lease: x.lease}
		switch {
		case choice < 5:
			delete(m.live, id)
		case choice == 5:
			s.Verdict, x.due = lineage.Retry, time.Time{}
		case choice == 6:
			s.Verdict, s.After, x.due = lineage.Retry, 9*time.Second, now.Add(9*time.Second)
		case choice == 7:
			s.Verdict, s.Reason, x.dead = lineage.Dead, "model", true
		default:
			continue
		}
		m.lost = append(m.lost, x.lease)
		x.lease = ""
		batch = append(batch, s)
	}
	if err := m.h.Queue().Settle(m.t.Context(), batch); err != nil {
		r.Fatal(err)
	}
}

func (m *queueModel) extend(r *rapid.T) {
	now := time.Now()
	var batch []lineage.Lease
	for _, id := range m.ids(func(x *modelMessage) bool { return x.leased(now) }) {
		if rapid.Bool().Draw(r, "extend") {
			batch = append(batch, m.live[id].lease)
			m.live[id].until = now.Add(modelLease)
		}
	}
	if err := m.h.Queue().Extend(m.t.Context(), batch); err != nil {
		r.Fatal(err)
	}
}

// late settles with leases that are worth nothing.
func (m *queueModel) late(r *rapid.T) {
	now := time.Now()
	leases := slices.Clone(m.lost)
	for _, id := range m.ids(func(x *modelMessage) bool { return x.lease != "" && !x.leased(now) }) {
		leases = append(leases, m.live[id].lease)
	}
	if len(leases) == 0 {
		r.Skip("no lease was lost")
	}
	lease := rapid.SampledFrom(leases).Draw(r, "lease")
	err := m.h.Queue().Settle(m.t.Context(), []lineage.Settlement{{Lease: lease}})
	if !errors.Is(err, lineage.ErrLeaseLost) {
		r.Fatalf("a late settle answers %v", err)
	}
}

func (m *queueModel) pass(r *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 7).Draw(r, "seconds")) * time.Second)
}

func (m *queueModel) reopen(*rapid.T) {
	m.h.Reopen(m.t)
	for _, x := range m.live {
		if x.lease != "" {
			m.lost = append(m.lost, x.lease)
			x.lease = ""
		}
	}
}

// exhume compares the dead and replays or discards one of them.
func (m *queueModel) exhume(r *rapid.T) {
	dead := m.dead(r)
	if len(dead) == 0 {
		return
	}
	d := rapid.SampledFrom(dead).Draw(r, "dead")
	if rapid.Bool().Draw(r, "replay") {
		if err := m.h.DeadLetters().Replay(m.t.Context(), d.ID, nil); err != nil {
			r.Fatal(err)
		}
		*m.live[d.Message.ID] = modelMessage{body: d.Body}
		return
	}
	if err := m.h.DeadLetters().Discard(m.t.Context(), d.ID); err != nil {
		r.Fatal(err)
	}
	delete(m.live, d.Message.ID)
}

func (m *queueModel) dead(r *rapid.T) (all []lineage.DeadMessage) {
	for cursor := ""; ; {
		page, next, err := m.h.DeadLetters().ListDead(m.t.Context(), cursor, 3)
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, page...)
		if cursor = next; next == "" {
			break
		}
	}
	now := time.Now()
	there := map[string]bool{}
	for _, d := range all {
		x := m.live[d.Message.ID]
		buried := x != nil && x.deliverable(now) && x.attempts >= modelDeliveries && d.Reason == "max_deliveries"
		if x == nil || !x.dead && !buried || d.Attempt != x.attempts || !bytes.Equal(d.Body, x.body) || there[d.Message.ID] {
			r.Fatalf("dead is %s (%s, attempt %d), the model has %+v", d.Message.ID, d.Reason, d.Attempt, x)
		}
		there[d.Message.ID] = true
		if buried && x.lease != "" {
			m.lost = append(m.lost, x.lease)
		}
		x.dead, x.lease = true, ""
	}
	for _, id := range m.ids(func(x *modelMessage) bool { return x.dead }) {
		if !there[id] {
			r.Fatalf("%s is not among the dead", id)
		}
	}
	return all
}

func (m *queueModel) depth(r *rapid.T) {
	d, err := m.h.Queue().Depth(m.t.Context())
	if err != nil {
		r.Fatal(err)
	}
	now := time.Now()
	leased := len(m.ids(func(x *modelMessage) bool { return x.leased(now) }))
	if d.Ready+d.Leased+d.Delayed+d.Dead != int64(len(m.live)) || d.Leased != int64(leased) {
		r.Fatalf("depth %+v, the model has %d messages, %d of them leased", d, len(m.live), leased)
	}
}

// end drains the queue: everything is delivered in the end or is dead.
func (m *queueModel) end(r *rapid.T) {
	for range modelDeliveries + 2 {
		time.Sleep(2 * modelLease)
		for m.take(r, 1000) > 0 {
			continue
		}
	}
	m.dead(r)
	for id, x := range m.live {
		if !x.dead {
			r.Fatalf("%s is stuck: %+v", id, x)
		}
	}
}
