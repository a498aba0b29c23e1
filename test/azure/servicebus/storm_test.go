package servicebus_test

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

// Many senders and receivers over faults of all kinds: whatever was answered
// is there, and nothing is handed out twice at once.
func TestNothingAnsweredIsLost(t *testing.T) {
	o, f := faulty()
	o.Queues["events"] = servicebus.Queue{LockDuration: 10 * time.Second, MaxDeliveryCount: 1000}
	within(t, o, func(d *desk) {
		f.On(servicebus.Sending, "events").Chance(0.05).Drop()
		f.On(servicebus.Sending, "events").Chance(0.05).DropAfter()
		f.On(servicebus.Settling, "events").Chance(0.05).DropAfter()
		f.On(servicebus.Delivering, "events").Chance(0.05).Drop()
		f.On(servicebus.Settling, "events").Chance(0.05).ExpireLock()
		answered := make(chan string, 1000)
		for w := range 4 {
			go func() {
				s, err := dial(t, d.s).NewSender("events", nil)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 50 {
					id := string(rune('a'+w)) + string(rune('0'+i))
					if s.SendMessage(d.ctx, &azservicebus.Message{MessageID: &id}, nil) == nil {
						answered <- id
					} else {
						answered <- ""
					}
				}
				_ = s.Close(d.ctx)
			}()
		}
		want := map[string]bool{}
		for range 200 {
			want[<-answered] = true
		}
		delete(want, "")
		if len(want) < 150 {
			t.Errorf("only %d sends succeeded", len(want))
		}
		r := d.receiver()
		for idle := 0; idle < 5; {
			ctx, cancel := context.WithTimeout(d.ctx, 11*time.Second)
			got, _ := r.ReceiveMessages(ctx, 10, nil)
			cancel()
			if len(got) == 0 {
				idle++
				continue
			}
			idle = 0
			for _, m := range got {
				ctx, cancel := context.WithTimeout(d.ctx, 20*time.Second)
				_ = r.CompleteMessage(ctx, m, nil)
				cancel()
				delete(want, m.MessageID)
			}
		}
		if len(want) > 0 {
			t.Errorf("lost: %v", want)
		}
		d.counts(servicebus.Counts{})
	})
}
