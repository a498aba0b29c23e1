package effect

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// incidentChange is what the business rule tells of an incident; see hear.
type incidentChange struct {
	CorrelationID string `json:"correlation_id"`
	SysID         string `json:"sys_id"`
	// State and Previous are set where the state changed.
	State    string `json:"state"`
	Previous string `json:"previous"`
	Comment  string `json:"comment"`
	// By is the person's name, User their user name, CreatedBy the user name
	// of who made the incident.
	By        string `json:"by"`
	User      string `json:"user"`
	CreatedBy string `json:"created_by"`
	At        string `json:"at"`
	ID        string `json:"id"`
}

// hear reads a request of a business rule. ServiceNow has no webhooks of its
// own: on the table incident, let a rule run after updates, where
// correlation_display is Modelwarden, with this script. It reads the secret from
// the system property modelwarden.secret (type password2), and writes JSON in
// ASCII, so that what is signed and what is sent are the same bytes.
//
//	(function executeRule(current, previous) {
//	  function note(field) {
//	    if (!current[field].changes()) return '';
//	    return ('' + current[field].getJournalEntry(1)).replace(/^[^\n]*\n/, '').trim();
//	  }
//	  var moved = current.state.changes();
//	  var told = {
//	    correlation_id: '' + current.correlation_id, sys_id: '' + current.sys_id,
//	    state: moved ? '' + current.state : '', previous: moved ? '' + previous.state : '',
//	    comment: note('comments') || note('work_notes'),
//	    by: gs.getUserDisplayName(), user: gs.getUserName(), created_by: '' + current.sys_created_by,
//	    at: '' + current.sys_updated_on, id: current.sys_id + '-' + current.sys_mod_count
//	  };
//	  if (!moved && !told.comment) return;
//	  var body = JSON.stringify(told).replace(/[\u007f-\uffff]/g, function (c) {
//	    return '\\u' + ('000' + c.charCodeAt(0).toString(16)).slice(-4);
//	  });
//	  var key = GlideStringUtil.base64Encode(gs.getProperty('modelwarden.secret'));
//	  var mac = new GlideCertificateEncryption().generateMac(key, 'HmacSHA256', body);
//	  var request = new sn_ws.RESTMessageV2();
//	  request.setEndpoint('https://modelwarden.contoso.example/callbacks/incidents');
//	  request.setHttpMethod('post');
//	  request.setRequestHeader('Content-Type', 'application/json');
//	  request.setRequestHeader('X-Modelwarden-Signature', 'sha256=' + mac);
//	  request.setRequestBody(body);
//	  request.executeAsync();
//	})(current, previous);
//
// The signature is an HMAC-SHA256 of the body in base64, as that script makes
// it, or in hexadecimal. Who made the incident is not heard: that is the account
// that the token belongs to, and it speaks of what the review did.
func (s *serviceNow) hear(secret string, header http.Header, body []byte) ([]Heard, error) {
	if !incidentSigned(secret, header.Get("X-Modelwarden-Signature"), body) {
		return nil, ErrForged
	}
	var c incidentChange
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, unreadable("the business rule", err)
	}
	at, err := incidentTime(c.At)
	if err != nil {
		return nil, unreadable("the business rule", err)
	}
	h := Heard{Key: ticketKey(c.CorrelationID), Ref: c.SysID, By: c.By, At: at, ID: c.ID}
	if h.Key == "" || c.User != "" && strings.EqualFold(c.User, c.CreatedBy) {
		return nil, nil
	}
	out := h.moved(incidentState(c.Previous), incidentState(c.State))
	if c.Comment != "" {
		out = append(out, h.remark(c.Comment))
	}
	return bounded(out...), nil
}

// incidentTime reads a time as ServiceNow stores it, which is UTC, or as RFC
// 3339 has it.
func incidentTime(text string) (time.Time, error) {
	if at, err := time.Parse(time.DateTime, text); err == nil {
		return at, nil
	}
	return time.Parse(time.RFC3339, text)
}

func incidentSigned(secret, value string, body []byte) bool {
	sum, ok := strings.CutPrefix(value, "sha256=")
	got, err := hex.DecodeString(sum)
	if err != nil {
		got, err = base64.StdEncoding.DecodeString(sum)
	}
	return ok && err == nil && hmac.Equal(got, bodyMAC(secret, body))
}
