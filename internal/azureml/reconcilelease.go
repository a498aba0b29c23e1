package azureml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// leaseFor is how long a lease holds without a sign of life: well over the time
// that one request to Azure Machine Learning may take.
const leaseFor = 2 * time.Minute

// errLeaseLost means that another replica took the work over.
var errLeaseLost = errors.New("another replica took the lease over")

// lease lets one replica at a time do a piece of work. It is a record beside
// what the work writes: whoever commits renews it in the same commit, so a
// holder that slept through its time can write no more.
type lease struct {
	store         lineage.Store
	partition, id string
	holder        string
	now           func() time.Time

	version string
	// renewed is when it was written last.
	renewed time.Time
}

type leaseRecord struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// take tries to get the lease; false means that another replica has it.
func (l *lease) take(ctx context.Context) (bool, error) {
	r, err := l.read(ctx)
	if err != nil {
		return false, err
	}
	if r.Holder != "" && r.Holder != l.holder && l.now().Before(r.Until) {
		return false, nil
	}
	_, err = l.commit(ctx)
	if errors.Is(err, errLeaseLost) {
		return false, nil
	}
	if ctx.Err() != nil {
		_ = l.release(ctx) // taken without an answer, perhaps
	}
	return err == nil, err
}

// commit writes changes to the lease's partition and renews the lease with
// them. It returns their versions, or errLeaseLost, and has written nothing,
// when the lease is gone.
func (l *lease) commit(ctx context.Context, changes ...lineage.Change) (versions []string, err error) {
	return l.write(ctx, leaseRecord{Holder: l.holder, Until: l.now().UTC().Add(leaseFor)}, changes)
}

// renew keeps the lease between two commits, by a write of its own where the
// last is some time ago.
func (l *lease) renew(ctx context.Context) error {
	if l.now().Sub(l.renewed) < leaseFor/4 {
		return nil
	}
	_, err := l.commit(ctx)
	return err
}

// release gives the lease up, unless it is another's. It works under a context
// that has ended, too: the next replica need not wait. A write whose answer did
// not come may go through yet, so the record is written even where nobody
// seems to hold it, and it may take more than one look.
func (l *lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var err error
	for range releaseTries {
		var r leaseRecord
		if r, err = l.read(ctx); err != nil || (r.Holder != "" && r.Holder != l.holder) {
			return err
		}
		if _, err = l.write(ctx, leaseRecord{}, nil); !errors.Is(err, errLeaseLost) {
			return err
		}
	}
	return err
}

const releaseTries = 3

// read learns who holds the lease, and its version.
func (l *lease) read(ctx context.Context) (r leaseRecord, err error) {
	got, err := l.store.Get(ctx, l.partition, l.id)
	if err != nil {
		return r, err
	}
	if l.version = got[0].Version; l.version == "" {
		return r, nil
	}
	if err := json.Unmarshal(got[0].Body, &r); err != nil {
		return r, fmt.Errorf("stored %s of %s: %w", l.id, l.partition, err)
	}
	return r, nil
}

func (l *lease) write(ctx context.Context, r leaseRecord, changes []lineage.Change) ([]string, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	c := lineage.Change{Op: lineage.Replace, Record: lineage.Record{ID: l.id, Version: l.version, Body: body}}
	if l.version == "" {
		c.Op = lineage.Create
	}
	versions, err := l.store.Commit(ctx, l.partition, append([]lineage.Change{c}, changes...))
	if err != nil {
		return nil, l.refused(err)
	}
	l.version, l.renewed = versions[0], l.now()
	return versions[1:], nil
}

// refused tells a lost lease from other faults.
func (l *lease) refused(err error) error {
	var failed *lineage.ChangeError
	if errors.As(err, &failed) && failed.ID == l.id && (errors.Is(err, lineage.ErrConflict) || errors.Is(err, lineage.ErrExists)) {
		return errLeaseLost
	}
	return err
}
