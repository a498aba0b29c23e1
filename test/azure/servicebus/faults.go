package servicebus

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/modelwarden/modelwarden/test/azure/servicebus/amqp"
)

// Point is a place where a fault can happen.
type Point string

// Points. What a rule may do there is told at the methods of Rule.
const (
	FrameIn      Point = "frame in"      // a frame arrived
	FrameOut     Point = "frame out"     // a frame is about to be written
	Attaching    Point = "attaching"     // a client attaches a link
	PuttingToken Point = "putting token" // a client puts a token to $cbs
	Sending      Point = "sending"       // a message or batch arrived
	Delivering   Point = "delivering"    // a message is about to go to a receiver
	Settling     Point = "settling"      // a receiver settles a delivery
	Managing     Point = "managing"      // a request to $management arrived
)

// Faults makes a server misbehave by rules. The zero value and nil have none.
// It is safe for concurrent use, and rules may be added at any time:
//
//	f := servicebus.NewFaults(1)
//	f.On(servicebus.Sending, "events").After(2).DropAfter()   // the third send: stored, never answered
//	f.On(servicebus.Settling, "events").Chance(0.1).ExpireLock()
//	f.On(servicebus.FrameIn, "").Always().Delay(20 * time.Millisecond)
//	f.On(servicebus.PuttingToken, "").Times(3).Refuse("com.microsoft:server-busy", "slow down")
//
// A rule strikes once unless Times, Always or Chance say otherwise.
type Faults struct {
	mu    sync.Mutex
	rand  *rand.Rand
	rules []*Rule
}

// NewFaults makes an empty set of rules whose chances come from a seed.
func NewFaults(seed uint64) *Faults {
	return &Faults{rand: rand.New(rand.NewPCG(seed, seed))}
}

// Rule is a fault that waits for its occasions. Building it ends with one of
// the verbs, from where on it is armed.
type Rule struct {
	f      *Faults
	point  Point
	queue  string
	skip   int
	left   int // -1: without end
	chance float64
	struck int
	effect strike
}

// strike is what happens at a point.
type strike struct {
	drop, dropAfter bool
	twice, expire   bool
	delay           time.Duration
	refusal, detach *amqp.Error
}

// On begins a rule for a point and a queue, or "" for any. Dead letters are
// "name/$DeadLetterQueue", management links "name/$management". Frames belong
// to no queue.
func (f *Faults) On(p Point, queue string) *Rule {
	return &Rule{f: f, point: p, queue: fold(queue), left: 1, chance: 1}
}

// After lets n occasions pass before the rule applies.
func (r *Rule) After(n int) *Rule {
	r.skip = n
	return r
}

// Times makes the rule strike n times.
func (r *Rule) Times(n int) *Rule {
	r.left = n
	return r
}

// Always makes it strike every time.
func (r *Rule) Always() *Rule { return r.Times(-1) }

// Chance makes it strike, without end, with a probability from 0 to 1.
func (r *Rule) Chance(p float64) *Rule {
	r.chance = p
	return r.Always()
}

// Drop closes the connection before anything takes effect. At all points.
func (r *Rule) Drop() *Rule { return r.arm(strike{drop: true}) }

// DropAfter closes the connection after it took effect and before the answer.
// At all points but frames; at Delivering the message is locked, and may or
// may not have reached the client.
func (r *Rule) DropAfter() *Rule {
	return r.arm(strike{dropAfter: true}, Attaching, PuttingToken, Sending, Delivering, Settling, Managing)
}

// Delay holds a frame, and those behind it, back. At FrameIn and FrameOut.
func (r *Rule) Delay(d time.Duration) *Rule {
	return r.arm(strike{delay: d}, FrameIn, FrameOut)
}

// Refuse answers with an error instead of doing what was asked, for example
// "com.microsoft:server-busy" or "com.microsoft:timeout". At all points but
// frames and Delivering.
func (r *Rule) Refuse(condition, description string) *Rule {
	err := newError(amqp.Symbol(condition), description)
	return r.arm(strike{refusal: err}, Attaching, PuttingToken, Sending, Settling, Managing)
}

// Detach detaches the link with an error before anything takes effect. At
// Sending, Delivering and Settling.
func (r *Rule) Detach(condition, description string) *Rule {
	err := newError(amqp.Symbol(condition), description)
	return r.arm(strike{detach: err}, Sending, Delivering, Settling)
}

// Twice stores what was sent a second time, as if the sender had repeated it
// without duplicate detection. At Sending.
func (r *Rule) Twice() *Rule { return r.arm(strike{twice: true}, Sending) }

// ExpireLock lets the lock expire just before it is settled. At Settling.
func (r *Rule) ExpireLock() *Rule { return r.arm(strike{expire: true}, Settling) }

// Struck counts how often the rule applied.
func (r *Rule) Struck() int {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	return r.struck
}

// arm puts the rule into force. A verb that means nothing at its point is a
// mistake in a test and panics.
func (r *Rule) arm(effect strike, at ...Point) *Rule {
	fits := len(at) == 0
	for _, p := range at {
		fits = fits || p == r.point
	}
	if !fits {
		panic(fmt.Sprintf("servicebus: this fault can not happen when %s", r.point))
	}
	r.effect = effect
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.f.rules = append(r.f.rules, r)
	return r
}

// Clear forgets all rules.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// strike asks what shall happen. The first rule that applies decides.
func (f *Faults) strike(p Point, queue string) strike {
	if f == nil {
		return strike{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.point == p && (r.queue == "" || r.queue == fold(queue)) && r.applies() {
			r.struck++
			return r.effect
		}
	}
	return strike{}
}

// applies counts an occasion.
func (r *Rule) applies() bool {
	if r.left == 0 {
		return false
	}
	if r.skip > 0 {
		r.skip--
		return false
	}
	if r.chance < 1 && r.f.random() >= r.chance {
		return false
	}
	if r.left > 0 {
		r.left--
	}
	return true
}

// random makes chances work without NewFaults too.
func (f *Faults) random() float64 {
	if f.rand == nil {
		f.rand = rand.New(rand.NewPCG(0, 0))
	}
	return f.rand.Float64()
}
