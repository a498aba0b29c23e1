package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Records of the silences' partition: one for each, and one that lists those
// that are not over, which is all that filing a signal reads.
const (
	silencesPartition = "silences"
	silenceRecord     = "s/"
	liveRecord        = "live"
	// silenceStamp begins a silence's id, so that ids sort by age.
	silenceStamp = "20060102t150405"
)

const (
	// maxLive bounds the silences that are not over.
	maxLive = 200
	// silenceKept is how long one is kept after its end.
	silenceKept = 180 * 24 * time.Hour
	// announceAhead is when somebody looks at a silence that was about to be
	// committed, whatever became of the process that did it.
	announceAhead = 2 * time.Minute
)

// Silence makes a silence. It fills in the id, when it was made, and From where
// that is zero. A *CommandError says what is wrong with it.
func (d *Desk) Silence(ctx context.Context, s Silence) (Silence, error) {
	now := d.now()
	s.Created, s.Ended, s.EndedBy = now, time.Time{}, ""
	if s.From.IsZero() {
		s.From = now
	}
	s.From, s.Until = s.From.UTC(), s.Until.UTC()
	if err := s.check(now); err != nil {
		return Silence{}, err
	}
	s.ID = now.Format(silenceStamp) + "-" + event.Digest("silence", s.By, s.Why, now.Format(time.RFC3339Nano), fmt.Sprint(s.From, s.Until, s.Match))[:10]
	return s, d.putSilence(ctx, s, "")
}

// EndSilence ends a silence before its time. One that is over stays as it was.
func (d *Desk) EndSilence(ctx context.Context, id, by string) (Silence, error) {
	if strings.TrimSpace(by) == "" || len(by) > maxName {
		return Silence{}, &CommandError{"by", fmt.Sprintf("say who does this, in at most %d bytes", maxName)}
	}
	s, version, err := d.readSilence(ctx, id)
	if err != nil || s.State(d.now()) == SilenceExpired {
		return s, err
	}
	s.Ended, s.EndedBy = d.now(), by
	if err = d.putSilence(ctx, s, version); errors.Is(err, ErrStale) {
		return d.GetSilence(ctx, id) // somebody else ended it just now
	}
	return s, err
}

// GetSilence returns one silence, or ErrNotFound.
func (d *Desk) GetSilence(ctx context.Context, id string) (Silence, error) {
	s, _, err := d.readSilence(ctx, id)
	return s, err
}

func (d *Desk) readSilence(ctx context.Context, id string) (Silence, string, error) {
	var s Silence
	got, err := d.store.Get(ctx, silencesPartition, silenceRecord+clip(id, maxName))
	if err == nil && got[0].Version == "" {
		err = fmt.Errorf("silence %s: %w", clip(id, 80), lineage.ErrNotFound)
	}
	if err != nil {
		return s, "", err
	}
	return s, got[0].Version, decode(got[0], &s)
}

// Silences lists silences in a state ("" is any), the newest first. next is ""
// at the end.
func (d *Desk) Silences(ctx context.Context, state, cursor string, limit int) (items []Silence, next string, err error) {
	q := lineage.Query{Partition: silencesPartition, Descending: true, Limit: batch, From: silenceRecord, Until: silenceRecord + "~"}
	if cursor != "" {
		if len(cursor) > maxName || len(cursor) < len(silenceStamp) {
			return nil, "", ErrCursor
		}
		q.Until = silenceRecord + cursor
	}
	limit = pageSize(limit)
	for page, err := range d.pages(ctx, q) {
		if err != nil {
			return nil, "", err
		}
		for _, record := range page {
			var s Silence
			if err := decode(record, &s); err != nil {
				return nil, "", err
			}
			if state != "" && s.State(d.now()) != state {
				continue
			}
			if len(items) == limit {
				return items, items[limit-1].ID, nil
			}
			items = append(items, s)
		}
	}
	return items, "", nil
}

// live are the silences that are not over.
type live struct {
	Silences []Silence `json:"silences"`
}

// silencesAt are the silences that may hold at a time: those that people made,
// and those that are planned.
func (d *Desk) silencesAt(ctx context.Context, now time.Time) ([]Silence, error) {
	all, _, err := d.readLive(ctx)
	if d.Standing != nil {
		all.Silences = append(all.Silences, d.Standing(now)...)
	}
	return all.Silences, err
}

func (d *Desk) readLive(ctx context.Context) (all live, version string, err error) {
	got, err := d.store.Get(ctx, silencesPartition, liveRecord)
	if err != nil {
		return all, "", fmt.Errorf("read silences: %w", err)
	}
	return all, got[0].Version, decode(got[0], &all)
}

// putSilence writes a silence, new or over a version, and the list. Reviews hear
// of it through Later, or here where there is none.
func (d *Desk) putSilence(ctx context.Context, s Silence, version string) error {
	if err := d.later(ctx, s, d.now().Add(announceAhead)); err != nil {
		return err
	}
	err := d.attempt(ctx, silencesPartition, func(*file) error {
		all, liveVersion, err := d.readLive(ctx)
		if err != nil {
			return err
		}
		now := d.now()
		all.Silences = slices.DeleteFunc(all.Silences, func(o Silence) bool { return o.ID == s.ID || o.State(now) == SilenceExpired })
		if s.State(now) != SilenceExpired {
			all.Silences = append(all.Silences, s)
		}
		if len(all.Silences) > maxLive {
			return &CommandError{"match", fmt.Sprintf("there are %d silences that are not over: end some, or make one that matches more", maxLive)}
		}
		c := write(silenceRecord+s.ID, version, s)
		c.Record.Expires = s.Until.Add(silenceKept)
		_, err = d.store.Commit(ctx, silencesPartition, []lineage.Change{c, write(liveRecord, liveVersion, all)})
		own := (*lineage.ChangeError)(nil)
		switch {
		case !errors.As(err, &own) || own.ID != c.Record.ID:
			return err
		case errors.Is(err, lineage.ErrExists):
			return nil // the same once more, after an answer that was lost
		}
		return fmt.Errorf("%w: silence %s", ErrStale, s.ID) // starting over does not help
	})
	if err != nil {
		return err
	}
	if d.Later == nil {
		return d.spread(ctx, s.ID)
	}
	return d.later(ctx, s, d.now())
}

// later arranges that a silence takes effect on the reviews that are there.
func (d *Desk) later(ctx context.Context, s Silence, at time.Time) error {
	if d.Later == nil {
		return nil
	}
	if s.Ended.IsZero() && s.From.After(at) {
		at = s.From
	}
	return d.Later(ctx, silencePrefix+s.ID, at)
}
