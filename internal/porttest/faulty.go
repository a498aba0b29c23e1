package porttest

import (
	"context"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// FaultyStore is a lineage.Store whose calls fail as Faults decides.
type FaultyStore struct {
	lineage.Store
	Faults *Faults
}

var _ lineage.Store = (*FaultyStore)(nil)

// Commit implements lineage.Store. An injected conflict names the first
// change.
func (s *FaultyStore) Commit(ctx context.Context, partition string, changes []lineage.Change) (versions []string, err error) {
	var conflict error
	if len(changes) > 0 {
		conflict = &lineage.ChangeError{ID: changes[0].Record.ID, Err: lineage.ErrConflict}
	}
	err = s.Faults.around(ctx, "Store.Commit", conflict, func() (err error) {
		versions, err = s.Store.Commit(ctx, partition, changes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return versions, nil
}

// Get implements lineage.Store.
func (s *FaultyStore) Get(ctx context.Context, partition string, ids ...string) (records []lineage.Record, err error) {
	err = s.Faults.around(ctx, "Store.Get", nil, func() (err error) {
		records, err = s.Store.Get(ctx, partition, ids...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// List implements lineage.Store.
func (s *FaultyStore) List(ctx context.Context, q lineage.Query) (page lineage.Page, err error) {
	err = s.Faults.around(ctx, "Store.List", nil, func() (err error) {
		page, err = s.Store.List(ctx, q)
		return err
	})
	if err != nil {
		return lineage.Page{}, err
	}
	return page, nil
}

// FaultyQueue is a lineage.Queue whose calls fail as Faults decides. A
// Receive whose answer is lost leaves its messages leased until the leases
// end, as a broken connection does.
type FaultyQueue struct {
	lineage.Queue
	Faults *Faults
}

var _ lineage.Queue = (*FaultyQueue)(nil)

// Send implements lineage.Queue.
func (q *FaultyQueue) Send(ctx context.Context, messages []lineage.Message) error {
	return q.Faults.around(ctx, "Queue.Send", nil, func() error { return q.Queue.Send(ctx, messages) })
}

// Receive implements lineage.Queue.
func (q *FaultyQueue) Receive(ctx context.Context, max int) (deliveries []lineage.Delivery, err error) {
	err = q.Faults.around(ctx, "Queue.Receive", nil, func() (err error) {
		deliveries, err = q.Queue.Receive(ctx, max)
		return err
	})
	if err != nil {
		return nil, err
	}
	return deliveries, nil
}

// Extend implements lineage.Queue.
func (q *FaultyQueue) Extend(ctx context.Context, leases []lineage.Lease) error {
	return q.Faults.around(ctx, "Queue.Extend", nil, func() error { return q.Queue.Extend(ctx, leases) })
}

// Settle implements lineage.Queue.
func (q *FaultyQueue) Settle(ctx context.Context, settlements []lineage.Settlement) error {
	return q.Faults.around(ctx, "Queue.Settle", nil, func() error { return q.Queue.Settle(ctx, settlements) })
}

// Faulty wraps any one-method port, such as an effector: the returned
// function performs do, or fails as faults decides under the name call. The
// result of a call that failed is the zero value.
func Faulty[In, Out any](faults *Faults, call string, do func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (out Out, err error) {
		err = faults.around(ctx, call, nil, func() (err error) {
			out, err = do(ctx, in)
			return err
		})
		if err != nil {
			var zero Out
			return zero, err
		}
		return out, nil
	}
}
