package effect

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// workItemEvent is the part of the service hook events workitem.updated and
// workitem.commented that is read here.
type workItemEvent struct {
	EventType string          `json:"eventType"`
	Resource  json.RawMessage `json:"resource"`
}

// workItemUpdate is the resource of workitem.updated: what changed, and the
// whole item after it.
type workItemUpdate struct {
	WorkItemID int              `json:"workItemId"`
	Rev        int              `json:"rev"`
	RevisedBy  devOpsPerson     `json:"revisedBy"`
	Fields     workItemChanges  `json:"fields"`
	Revision   workItemRevision `json:"revision"`
}

type workItemChanges struct {
	State struct {
		Old string `json:"oldValue"`
		New string `json:"newValue"`
	} `json:"System.State"`
	History struct {
		New string `json:"newValue"`
	} `json:"System.History"`
}

// workItemRevision is an item as it was saved, and the resource of
// workitem.commented.
type workItemRevision struct {
	ID     int `json:"id"`
	Rev    int `json:"rev"`
	Fields struct {
		workItemFields
		History string       `json:"System.History"`
		Creator devOpsPerson `json:"System.CreatedBy"`
		Changer devOpsPerson `json:"System.ChangedBy"`
		Changed time.Time    `json:"System.ChangedDate"`
	} `json:"fields"`
}

// devOpsPerson is somebody, whom older versions of a resource write as
// "Name <unique name>".
type devOpsPerson struct {
	DisplayName string `json:"displayName"`
	UniqueName  string `json:"uniqueName"`
}

// UnmarshalJSON reads both forms.
func (p *devOpsPerson) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		type plain devOpsPerson
		return json.Unmarshal(b, (*plain)(p))
	}
	name, unique, ok := strings.Cut(strings.TrimSuffix(text, ">"), " <")
	*p = devOpsPerson{DisplayName: name, UniqueName: cmp.Or(unique, name)}
	if !ok {
		p.UniqueName = text
	}
	return nil
}

// hear reads a request of a service hook ("Service hooks events", resource
// version 1.0), which has the secret as the password of any user. A state that
// is one of ours resolves, reopens or acknowledges; comments are remarks.
//
// Who made the item is not heard: that is the account that the token belongs
// to, and it speaks of what the review did.
func (w *workItems) hear(secret string, header http.Header, body []byte) ([]Heard, error) {
	_, password, ok := (&http.Request{Header: header}).BasicAuth()
	if !ok || subtle.ConstantTimeCompare([]byte(password), []byte(secret)) != 1 {
		return nil, ErrForged
	}
	var e workItemEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, unreadable("Azure DevOps", err)
	}
	switch e.EventType {
	case "workitem.updated":
		return w.hearUpdate(e.Resource)
	case "workitem.commented":
		return w.hearComment(e.Resource)
	}
	return nil, nil
}

func (w *workItems) hearUpdate(resource json.RawMessage) ([]Heard, error) {
	var u workItemUpdate
	if err := json.Unmarshal(resource, &u); err != nil {
		return nil, unreadable("Azure DevOps", err)
	}
	h, ours := u.Revision.heard(u.WorkItemID, u.Rev, u.RevisedBy)
	if !ours {
		return nil, nil
	}
	out := h.moved(w.states.of(u.Fields.State.Old), w.states.of(u.Fields.State.New))
	if u.Fields.History.New != "" {
		out = append(out, h.remark(htmlText(u.Fields.History.New)))
	}
	return bounded(out...), nil
}

func (w *workItems) hearComment(resource json.RawMessage) ([]Heard, error) {
	var r workItemRevision
	if err := json.Unmarshal(resource, &r); err != nil {
		return nil, unreadable("Azure DevOps", err)
	}
	h, ours := r.heard(r.ID, r.Rev, r.Fields.Changer)
	if !ours {
		return nil, nil
	}
	return bounded(h.remark(htmlText(r.Fields.History))), nil
}

// heard is what is heard of every change of an item; ours is false for items of
// others and for our own doing. One revision has one id, whichever of the two
// events tells of it.
func (r *workItemRevision) heard(id, rev int, by devOpsPerson) (h Heard, ours bool) {
	ref := strconv.Itoa(id)
	h = Heard{
		Key: r.Fields.key(), Ref: ref, By: cmp.Or(by.DisplayName, by.UniqueName),
		At: r.Fields.Changed, ID: ref + "-" + strconv.Itoa(rev),
	}
	ourselves := by.UniqueName != "" && strings.EqualFold(by.UniqueName, r.Fields.Creator.UniqueName)
	return h, id != 0 && h.Key != "" && !ourselves
}

// key reads the key out of an item's tags.
func (f *workItemFields) key() string { return keyOf(strings.Split(f.Tags, ";")) }

// htmlText is what HTML reads like.
func htmlText(source string) string {
	var b strings.Builder
	for z := html.NewTokenizer(strings.NewReader(source)); ; {
		switch z.Next() {
		case html.ErrorToken:
			if errors.Is(z.Err(), io.EOF) {
				return strings.TrimSpace(b.String())
			}
			return ""
		case html.TextToken:
			b.Write(z.Text())
		case html.SelfClosingTagToken, html.StartTagToken, html.EndTagToken:
			switch name, _ := z.TagName(); string(name) {
			case "br", "p", "div", "li":
				b.WriteByte('\n')
			}
		}
	}
}
