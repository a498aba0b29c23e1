package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/modelwarden/modelwarden/internal/ingest"
	"github.com/modelwarden/modelwarden/internal/lineage"
	"github.com/modelwarden/modelwarden/internal/policy"
	"github.com/modelwarden/modelwarden/internal/porttest"
	azure "github.com/modelwarden/modelwarden/test/azure/eventgrid"
)

func TestPulledEventsBecomeTheSubscribersMessages(t *testing.T) {
	inBubble(t, "pull", func(t *testing.T) {
		r := newPullRig(t, nil, func(o *ingest.PullOptions) { o.Now = func() time.Time { return noon } })
		nonsense := `{"specversion":"1.0","type":"t","time":"yesterday"}`
		r.publish(t, cloudEvent("a"), nonsense, gridEvent("b"), `17`)
		r.start(t)
		synctest.Wait()
		r.stop()

		posted, q := newSubscriber(t, ingest.Options{Now: func() time.Time { return noon }})
		serve(posted.Events(), request("POST", "["+cloudEvent("a")+","+nonsense+","+gridEvent("b")+",17]", gridHeaders("0")...))
		got, want := r.all(), q.all()
		if len(got) != 4 || len(want) != 4 {
			t.Fatalf("%d pulled, %d posted messages, want 4", len(got), len(want))
		}
		for i := range got {
			if got[i].ID != want[i].ID || string(got[i].Body) != string(want[i].Body) {
				t.Errorf("message %d: pulled %s %s, posted %s %s", i, got[i].ID, got[i].Body, want[i].ID, want[i].Body)
			}
			p := maps.Clone(want[i].Properties)
			p[lineage.PropVia], p[lineage.PropSubscription] = "eventgrid-pull", "warden"
			if p[lineage.PropKind] == lineage.KindRaw {
				p[lineage.PropContentType] = "application/cloudevents+json"
				p[lineage.PropProblemDetail] = got[i].Properties[lineage.PropProblemDetail] // says where in the array it was
			}
			if !maps.Equal(got[i].Properties, p) || got[i].Properties[lineage.PropProblem] != want[i].Properties[lineage.PropProblem] {
				t.Errorf("message %d: properties %v, want %v", i, got[i].Properties, p)
			}
		}
		if s := r.stats(t); s != (azure.QueueStats{Acknowledged: 4}) {
			t.Errorf("the subscription has %+v", s)
		}
	})
}

func TestPullCountsWithTheSubscriber(t *testing.T) {
	inBubble(t, "metrics", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		s, err := ingest.New(ingest.Options{Queue: r.memory, Authenticator: ingest.None(), Registerer: r.registry})
		if err != nil {
			t.Fatal(err)
		}
		serve(s.Events(), request("POST", gridEvent("posted")))
		if _, err := ingest.NewPull(ingest.PullOptions{Source: r.source, Queue: r.memory, Name: "second", Registerer: r.registry}); err != nil {
			t.Fatalf("a second subscription: %v", err)
		}
		r.publish(t, gridEvent("a"), gridEvent("b"), `{}`)
		r.start(t)
		time.Sleep(90 * time.Second)
		r.stop()
		text := exposition(t, r.registry)
		for _, line := range []string{
			`modelwarden_events_received_total{kind="job.completed",result="accepted",source="pull"} 2`,
			`modelwarden_events_received_total{kind="unknown",result="quarantined",source="pull"} 1`,
			`modelwarden_events_received_total{kind="job.completed",result="accepted",source="webhook"} 1`,
			`modelwarden_event_lag_seconds_count{source="pull"} 2`,
			`modelwarden_ingest_pulls_total{outcome="events",subscription="warden"} 1`,
			`modelwarden_ingest_pulls_total{outcome="empty",subscription="warden"} 1`,
			`modelwarden_ingest_pull_settlements_total{result="acknowledged",subscription="warden"} 3`,
		} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no line %s in\n%s", line, grep(text, strings.SplitN(line, "{", 2)[0]))
			}
		}
		if problems, err := testutil.GatherAndLint(r.registry); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v %v", problems, err)
		}
	})
}

var errAway = errors.New("queue is away")

func TestQueueDownGivesEventsBackForLonger(t *testing.T) {
	inBubble(t, "released", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		down := true
		r.fail = func(context.Context) error {
			if down {
				return errAway
			}
			return nil
		}
		r.publish(t, gridEvent("a"))
		r.start(t)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		released, sizes := r.source.notes()
		want := []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, time.Hour}
		if !slices.Equal(released, want) {
			t.Errorf("released for %v, want %v", released, want)
		}
		if sizes[0] != 100 || sizes[1] != 1 {
			t.Errorf("pages of %v events: an outage should be probed with one", sizes)
		}
		down = false
		r.settled(t)
		r.stop()
		if !r.has("a") || len(r.dead) != 0 {
			t.Errorf("queued %v, dead %v", r.all(), r.dead)
		}
		if got := r.all()[0].Properties[lineage.PropDeliveryCount]; got != "5" {
			t.Errorf("delivery count %s after five failures", got)
		}
	})
}

func TestOutageOfTheQueueCostsFewAttempts(t *testing.T) {
	inBubble(t, "probes", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		until := time.Now().Add(20 * time.Minute)
		r.fail = func(context.Context) error {
			if time.Now().Before(until) {
				return errAway
			}
			return nil
		}
		for i := range 500 {
			r.publish(t, gridEvent(fmt.Sprint(i)))
		}
		r.start(t)
		r.settled(t)
		r.stop()
		tried := 0
		for _, m := range r.all() {
			if m.Properties[lineage.PropDeliveryCount] != "0" {
				tried++
			}
		}
		if len(r.all()) != 500 || tried > 200 || len(r.dead) != 0 {
			t.Errorf("%d queued, %d of them had been tried before, %d dead", len(r.all()), tried, len(r.dead))
		}
	})
}

func TestOneEventTooLargeHarmsNoOther(t *testing.T) {
	inBubble(t, "too large", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		queue := sender(func(ctx context.Context, messages []lineage.Message) error {
			for _, m := range messages {
				if len(m.Body) > 2000 {
					return lineage.ErrTooLarge
				}
			}
			return r.Send(ctx, messages)
		})
		pull, err := ingest.NewPull(ingest.PullOptions{Source: r.source, Queue: queue, Name: "warden"})
		if err != nil {
			t.Fatal(err)
		}
		r.pull = pull
		large := strings.Replace(gridEvent("large"), `"big":`, `"text":"`+strings.Repeat("x", 3000)+`","big":`, 1)
		r.publish(t, gridEvent("a"), large, gridEvent("b"))
		r.start(t)
		synctest.Wait()
		if s := r.stats(t); s.Acknowledged != 2 || s.Delayed != 1 || !r.has("a") || !r.has("b") {
			t.Errorf("stats %+v", s)
		}
		r.settled(t)
		r.stop()
		if len(r.dead) != 1 || !strings.Contains(string(r.dead[0].Event), `"id":"large"`) {
			t.Errorf("dead letters %+v: what never fits belongs there", r.dead)
		}
	})
}

func TestQueueThatGoesAwayBetweenEventsKeepsWhatItHas(t *testing.T) {
	inBubble(t, "half", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		calls := 0
		queue := sender(func(ctx context.Context, messages []lineage.Message) error {
			switch calls++; calls {
			case 1:
				return lineage.ErrTooLarge
			case 3:
				return errAway
			}
			return r.Send(ctx, messages)
		})
		pull, err := ingest.NewPull(ingest.PullOptions{Source: r.source, Queue: queue, Name: "warden"})
		if err != nil {
			t.Fatal(err)
		}
		r.pull = pull
		r.publish(t, gridEvent("a"), gridEvent("b"), gridEvent("c"))
		r.start(t)
		synctest.Wait()
		if s := r.stats(t); s.Acknowledged != 1 || s.Delayed != 2 || !r.has("a") || r.has("b") {
			t.Errorf("stats %+v", s)
		}
		r.settled(t)
		r.stop()
		if len(r.all()) != 3 || !r.has("b") || !r.has("c") {
			t.Errorf("queued %v", r.all())
		}
	})
}

// sender is a queue made of a function.
type sender func(context.Context, []lineage.Message) error

func (s sender) Send(ctx context.Context, m []lineage.Message) error { return s(ctx, m) }

func TestLocksAreHeldWhileSendingIsSlow(t *testing.T) {
	inBubble(t, "slow", func(t *testing.T) {
		r := newPullRig(t, nil, func(o *ingest.PullOptions) { o.Timeout = 10 * time.Minute })
		sent := 0
		r.fail = func(ctx context.Context) error {
			sent++
			time.Sleep(5 * time.Minute)
			return ctx.Err()
		}
		r.publish(t, gridEvent("a"))
		r.start(t)
		time.Sleep(6 * time.Minute)
		r.stop()
		if s := r.stats(t); sent != 1 || s.Acknowledged != 1 {
			t.Errorf("sent %d times, %+v: the lock should have been kept", sent, s)
		}
	})
}

func TestStuckSendingIsGivenUp(t *testing.T) {
	inBubble(t, "stuck", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		stuck := true
		r.fail = func(ctx context.Context) error {
			if stuck {
				stuck = false
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		r.publish(t, gridEvent("a"))
		start := time.Now()
		r.start(t)
		r.settled(t)
		r.stop()
		if took := time.Since(start); took < time.Minute || took > 4*time.Minute || !r.has("a") {
			t.Errorf("took %v, queued %v", took, r.all())
		}
	})
}

func TestFaultsOfTheNamespaceAreSurvived(t *testing.T) {
	tests := []struct {
		operation string
		fault     azure.Fault
		copies    int // of the event that the queue ends up with
		within    time.Duration
	}{
		{azure.OpReceive, azure.Throttle, 1, 5 * time.Second},
		{azure.OpReceive, azure.Unavailable, 1, 2 * time.Second},
		{azure.OpReceive, azure.DropBefore, 1, 2 * time.Second},
		{azure.OpReceive, azure.DropAfter, 1, 65 * time.Second},
		{azure.OpReceive, azure.Stall, 1, 85 * time.Second},
		{azure.OpReceive, azure.LoseLocks, 2, time.Second},
		{azure.OpReceive, azure.Junk, 1, time.Second},
		{azure.OpAcknowledge, azure.Unavailable, 1, 2 * time.Second},
		{azure.OpAcknowledge, azure.DropBefore, 1, 2 * time.Second},
		{azure.OpAcknowledge, azure.DropAfter, 1, 2 * time.Second},
		{azure.OpAcknowledge, azure.Stall, 1, 12 * time.Second},
	}
	for _, tt := range tests {
		inBubble(t, fmt.Sprint(tt.operation, tt.fault), func(t *testing.T) {
			only := func(o string) bool { return o == tt.operation }
			r := newPullRig(t, &azure.Faults{Script: []azure.Fault{tt.fault}, Only: only}, nil)
			r.publish(t, gridEvent("a"))
			r.start(t)
			time.Sleep(tt.within)
			synctest.Wait()
			copies := 0
			for _, m := range r.all() {
				if m.Properties[lineage.PropKind] == lineage.KindEvent {
					copies++
				}
			}
			if s := r.stats(t); copies != tt.copies || s.Ready+s.Locked+s.Delayed != 0 {
				t.Errorf("%d copies after %v, want %d; %+v", copies, tt.within, tt.copies, s)
			}
			if junk := len(r.all()) - copies; tt.fault == azure.Junk && junk != 1 {
				t.Errorf("%d messages for quarantine", junk)
			}
			r.stop()
		})
	}
}

func TestAcknowledgingThatFailsForGoodRepeatsTheEvent(t *testing.T) {
	inBubble(t, "duplicates", func(t *testing.T) {
		only := func(o string) bool { return o == azure.OpAcknowledge }
		r := newPullRig(t, &azure.Faults{Script: slices.Repeat([]azure.Fault{azure.Unavailable}, 3), Only: only}, nil)
		r.publish(t, gridEvent("a"))
		r.start(t)
		r.settled(t)
		r.stop()
		got := r.all()
		if len(got) != 2 || got[0].ID != got[1].ID || string(got[0].Body) != string(got[1].Body) {
			t.Errorf("messages %v: want the same one twice", got)
		}
	})
}

// scripted is a source whose receives answer by turns.
type scripted struct {
	ingest.PullSource
	answers []error
	at      []time.Duration
	start   time.Time
}

func (s *scripted) Receive(ctx context.Context, _ int, _ time.Duration) ([]lineage.Delivery, error) {
	s.at = append(s.at, time.Since(s.start))
	if len(s.at) <= len(s.answers) {
		return nil, s.answers[len(s.at)-1]
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// waits are the pauses before each receive but the first.
func (s *scripted) waits() []time.Duration {
	var out []time.Duration
	for i := 1; i < len(s.at); i++ {
		out = append(out, s.at[i]-s.at[i-1])
	}
	return out
}

func runScript(t *testing.T, answers ...error) []time.Duration {
	t.Helper()
	s := &scripted{answers: answers, start: time.Now()}
	r := newPullRig(t, nil, func(o *ingest.PullOptions) { o.Source = s })
	r.start(t)
	time.Sleep(time.Hour)
	r.stop()
	return s.waits()[:len(answers)]
}

func TestPullBacksOff(t *testing.T) {
	inBubble(t, "doubling", func(t *testing.T) {
		least := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}
		for i, got := range runScript(t, slices.Repeat([]error{errAway}, len(least))...) {
			if got < least[i] || got > 2*least[i] {
				t.Errorf("wait %d is %v, want %v to its double", i, got, least[i])
			}
		}
	})
	inBubble(t, "success resets", func(t *testing.T) {
		got := runScript(t, errAway, errAway, errAway, nil, errAway)
		if got[3] != time.Second || got[4] > time.Second {
			t.Errorf("waits %v: an empty page that comes at once is asked for after a second, then all is as new", got)
		}
	})
	inBubble(t, "retry after", func(t *testing.T) {
		got := runScript(t, &policy.RetryAfterError{Err: errAway, After: 3 * time.Minute})
		if got[0] < 3*time.Minute || got[0] > 3*time.Minute+time.Second {
			t.Errorf("waited %v", got)
		}
	})
	inBubble(t, "permanent", func(t *testing.T) {
		got := runScript(t, &policy.PermanentError{Err: errAway})
		if got[0] < 30*time.Second || got[0] > time.Minute {
			t.Errorf("waited %v", got)
		}
	})
}

func TestPullEndsPromptly(t *testing.T) {
	inBubble(t, "while it waits", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		r.start(t)
		time.Sleep(5 * time.Second)
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
	inBubble(t, "finishing what it holds", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		r.fail = func(ctx context.Context) error {
			time.Sleep(4 * time.Second)
			return ctx.Err()
		}
		r.publish(t, gridEvent("a"))
		r.start(t)
		time.Sleep(time.Second)
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 3*time.Second || r.stats(t).Acknowledged != 1 {
			t.Errorf("took %v, %+v", took, r.stats(t))
		}
	})
	inBubble(t, "not for ever", func(t *testing.T) {
		r := newPullRig(t, nil, nil)
		r.fail = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		r.publish(t, gridEvent("a"))
		r.start(t)
		time.Sleep(time.Second)
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 5*time.Second || r.stats(t).Delayed != 1 {
			t.Errorf("took %v, %+v: the event should have been given back", took, r.stats(t))
		}
	})
	inBubble(t, "while it backs off", func(t *testing.T) {
		r := newPullRig(t, nil, func(o *ingest.PullOptions) {
			o.Source = &scripted{answers: []error{&policy.PermanentError{Err: errAway}}}
		})
		r.start(t)
		synctest.Wait()
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// Whatever goes wrong on either side, everything that was published ends in
// the queue. A seed that failed fails again.
func TestPullLosesNothing(t *testing.T) {
	for seed := range uint64(40) {
		inBubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			source := &azure.Faults{Seed: seed, Rates: map[azure.Fault]float64{
				azure.Throttle: .05, azure.Unavailable: .1, azure.Stall: .03, azure.DropBefore: .1, azure.DropAfter: .1,
				azure.Junk: .1, azure.LoseLocks: .1,
			}}
			queue := &porttest.Faults{Seed: seed, Before: .15, After: .15, Delay: 30 * time.Second}
			r := newPullRig(t, source, nil)
			send := porttest.Faulty(queue, "Queue.Send", func(ctx context.Context, m []lineage.Message) (struct{}, error) {
				return struct{}{}, r.Send(ctx, m)
			})
			pull, err := ingest.NewPull(ingest.PullOptions{Source: r.source, Name: "warden", Batch: 7,
				Queue: sender(func(ctx context.Context, m []lineage.Message) error { _, err := send(ctx, m); return err })})
			if err != nil {
				t.Fatal(err)
			}
			r.pull = pull
			pull.SetSeed(seed)
			r.start(t)
			var published []string
			for i := range 60 {
				good, bad := fmt.Sprint("event-", i), fmt.Sprintf(`{"nonsense":%d}`, i)
				r.publish(t, gridEvent(good), bad)
				published = append(published, good, bad)
				time.Sleep(20 * time.Second)
			}
			source.Stop()
			queue.Stop()
			r.settled(t)
			r.stop()
			for _, what := range published {
				if !r.has(what) {
					t.Errorf("%s was lost; %+v, dead %v", what, r.stats(t), r.dead)
				}
			}
		})
	}
}

func TestPullNeverShowsTheKey(t *testing.T) {
	inBubble(t, "leak", func(t *testing.T) {
		only := func(o string) bool { return o != azure.OpPublish }
		script := []azure.Fault{azure.Throttle, azure.Unavailable, azure.DropBefore, azure.None, azure.DropAfter, azure.Unavailable, azure.Stall, azure.DropBefore}
		r := newPullRig(t, &azure.Faults{Script: script, Only: only}, nil)
		r.publish(t, gridEvent("a"), `{}`)
		r.start(t)
		r.settled(t)
		r.stop()
		if r.logs.Len() < 5 {
			t.Fatalf("%d log lines: the test does not see what it should", r.logs.Len())
		}
		wantNoLeak(t, r.logs, pullKey)
		if strings.Contains(exposition(t, r.registry), pullKey) || strings.Contains(fmt.Sprint(r.all()), pullKey) {
			t.Error("the key shows in a metric or a message")
		}
	})
}

func TestPullOptionsThatCanNotWork(t *testing.T) {
	tests := map[string]func(*ingest.PullOptions){
		"no Source": func(o *ingest.PullOptions) { o.Source = nil },
		"no Queue":  func(o *ingest.PullOptions) { o.Queue = nil },
		"no Name":   func(o *ingest.PullOptions) { o.Name = "" },
		"Batch":     func(o *ingest.PullOptions) { o.Batch = 101 },
		"Wait":      func(o *ingest.PullOptions) { o.Wait = 9 * time.Second },
		"negative":  func(o *ingest.PullOptions) { o.Drain = -1 },
	}
	for want, spoil := range tests {
		o := ingest.PullOptions{Source: &scripted{}, Queue: discard{}, Name: "s"}
		spoil(&o)
		if _, err := ingest.NewPull(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
