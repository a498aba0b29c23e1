package eventgrid

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// split cuts the answer of a receive into its events without reading them.
// What it returns is usable even with an error: an element after which the
// answer is no JSON any more ends it, and one without a lock token is left
// out. Their locks end, and they come again.
func split(page []byte) ([]lineage.Delivery, error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(page, []byte("\ufeff"))))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("the page is not a JSON object")
	}
	var out []lineage.Delivery
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return out, broken(err)
		}
		if name == "value" {
			out, err = elements(dec, out)
		} else {
			err = dec.Decode(new(json.RawMessage))
		}
		if err != nil {
			return out, broken(err)
		}
	}
	return out, nil
}

func broken(err error) error { return fmt.Errorf("the page is broken: %w", err) }

// elements cuts the array that comes next.
func elements(dec *json.Decoder, out []lineage.Delivery) ([]lineage.Delivery, error) {
	open, err := dec.Token()
	switch {
	case err != nil:
		return out, err
	case open == nil:
		return out, nil
	case open != json.Delim('['):
		return out, errors.New("value is not an array")
	}
	var unusable error
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return out, err
		}
		if d, ok := element(raw); ok {
			out = append(out, d)
		} else {
			unusable = errors.New("an event has no lock token")
		}
	}
	if _, err := dec.Token(); err != nil {
		return out, err
	}
	return out, unusable
}

// element reads what is around one event. Where there is no event in it, the
// element itself stands for it.
func element(raw json.RawMessage) (lineage.Delivery, bool) {
	var e struct {
		BrokerProperties struct {
			LockToken     string
			DeliveryCount json.RawMessage
		}
		Event json.RawMessage
	}
	if json.Unmarshal(raw, &e) != nil || e.BrokerProperties.LockToken == "" {
		return lineage.Delivery{}, false
	}
	body := e.Event
	if body == nil {
		body = raw
	}
	attempt, err := strconv.Atoi(string(bytes.Trim(e.BrokerProperties.DeliveryCount, `"`)))
	if err != nil {
		attempt = 1
	}
	return lineage.Delivery{
		Message: lineage.Message{Body: body}, Lease: lineage.Lease(e.BrokerProperties.LockToken), Attempt: max(attempt, 1),
	}, true
}
