package web

import (
	"net/http"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

type troubleData struct {
	Quarantine listing[lineage.Quarantined]
	Dead       listing[DeadLetter]
}

// troublePage shows what was not understood and what was given up.
func (s *server) troublePage(r *http.Request) (view, error) {
	q := r.URL.Query()
	quarantined, err := s.listQuarantine(r.Context(), &QuarantineInput{
		Reason: q.Get("reason"), Paging: Paging{Limit: pageLimit, Cursor: q.Get("cursor")},
	})
	if err != nil {
		return view{}, err
	}
	dead, err := s.listDead(r.Context(), &Paging{Limit: pageLimit, Cursor: q.Get("dead")})
	if err != nil {
		return view{}, err
	}
	d := troubleData{newListing(r, quarantined), newListing(r, dead)}
	d.Dead.Older = ""
	if dead.NextCursor != "" {
		d.Dead.Older = "/trouble?dead=" + dead.NextCursor
	}
	return view{Template: "trouble", Title: "Trouble", Section: "trouble", Data: d}, nil
}
