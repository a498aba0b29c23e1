package web

import (
	"net/http"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// silencesData are silences in parts.
type silencesData struct {
	Parts []silencesPart
	// State is the part that was asked for alone; "" is what holds and what
	// will.
	State string
}

// silencesPart are the silences of one state.
type silencesPart struct {
	State string
	listing[Silence]
}

// silencesPage lists what is silenced now and what will be, or one state alone.
func (s *server) silencesPage(r *http.Request) (view, error) {
	d := silencesData{State: r.URL.Query().Get("state")}
	states := []string{review.SilenceActive, review.SilencePending}
	if d.State != "" {
		states = []string{d.State}
	}
	for _, state := range states {
		in := SilencesInput{State: state, Paging: Paging{Limit: pageLimit}}
		if d.State != "" {
			in.Paging = paging(r)
		}
		if state == "all" {
			in.State = ""
		}
		found, err := s.listSilences(r.Context(), &in)
		if err != nil {
			return view{}, err
		}
		part := silencesPart{state, newListing(r, found)}
		if d.State == "" && found.NextCursor != "" {
			part.Older = "/silences?state=" + state
		}
		d.Parts = append(d.Parts, part)
	}
	return view{Template: "silences", Title: "Silences", Section: "silences", Data: d}, nil
}

// silenceForm makes a silence of the page's form, in which each field is one
// pattern. An empty form is a slip, not the wish to silence everything.
func (s *server) silenceForm(r *http.Request) (string, error) {
	var m review.Match
	given := false
	for name, patterns := range map[string]*[]string{
		"workspace": &m.Workspace, "model": &m.Model, "asset": &m.Asset, "policy": &m.Policy, "severity": &m.Severity, "cause": &m.Cause,
	} {
		if v := r.PostFormValue(name); v != "" {
			*patterns, given = []string{v}, true
		}
	}
	if !given {
		return "", badInput("body.match", nil, "say which reviews: fill in one field at least; * as the cause silences all")
	}
	_, err := s.createSilence(r.Context(), SilenceBody{
		Match: m, From: fieldTime(r.PostFormValue("from")), For: r.PostFormValue("for"), By: r.PostFormValue("by"), Why: r.PostFormValue("why"),
	})
	return "/silences", err
}

// fieldTime completes the time that a browser's field gives, which has neither
// zone nor, where they are zero, seconds; other texts stay.
func fieldTime(text string) string {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Format(time.RFC3339)
		}
	}
	return text
}

// pairsOfMatch lists the patterns of a match, none where it selects all.
func pairsOfMatch(m review.Match) (out []pair) {
	for _, part := range []struct {
		name     string
		patterns []string
	}{
		{"workspace", m.Workspace}, {"model", m.Model}, {"asset", m.Asset},
		{"policy", m.Policy}, {"severity", m.Severity}, {"cause", m.Cause},
	} {
		for i, p := range part.patterns {
			name := part.name
			if i > 0 {
				name = "or"
			}
			out = append(out, pair{name, p})
		}
	}
	return out
}
