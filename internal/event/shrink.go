package event

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// keptOfCut is how much of a value that is cut stays readable, in bytes.
const keptOfCut = 256

// Shrink makes a message fit a queue that takes at most limit bytes. Of an
// event it cuts the longest texts of the payload, the longest first and no
// more than needed; each keeps its beginning, its length and its digest.
// Where that is not enough, the payload is replaced by its beginning; bytes
// that are no event are cut as they are. Identity, type, subject and time
// always stay. smaller is false only when limit is less than a few hundred
// bytes beyond those.
func Shrink(body []byte, limit int) (smaller []byte, ok bool) {
	if len(body) <= limit {
		return body, true
	}
	items, err := Split("", nil, body)
	if err != nil || len(items) != 1 || items[0].Problem != nil {
		return cutBytes(body, limit)
	}
	e := items[0].Envelope
	original := e.Data
	if e.Data = cutTexts(original, limit-len(body)+len(original)); e.Data != nil {
		if b := e.AppendJSON(nil); len(b) <= limit {
			return b, true
		}
	}
	e.Data = nil
	room := limit - len(e.AppendJSON(nil)) - 200
	if room < 0 {
		return nil, false
	}
	// JSON within JSON is escaped: half of the room is always enough for
	// text, an eighth for anything.
	for _, share := range []int{2, 8} {
		e.Data, _ = json.Marshal(map[string]string{"modelwardenCut": cut(string(original), room/share)})
		if b := e.AppendJSON(nil); len(b) <= limit {
			return b, true
		}
	}
	return nil, false
}

// cutBytes keeps the beginning of what is no event.
func cutBytes(body []byte, limit int) ([]byte, bool) {
	room := limit - 200
	if room < 0 {
		return nil, false
	}
	return []byte(cut(string(body), room)), true
}

// cut keeps the first bytes of a text, and says what is gone.
func cut(text string, keep int) string {
	if len(text) <= keep {
		return text
	}
	for keep > 0 && !utf8.RuneStart(text[keep]) {
		keep--
	}
	return fmt.Sprintf("%s… [cut: the whole has %d bytes, sha256 %x]", strings.ToValidUTF8(text[:keep], "\ufffd"), len(text), sha256.Sum256([]byte(text)))
}

// text is a string of a payload that may be cut.
type text struct {
	value string
	set   func(string)
}

// cutTexts cuts the longest texts of a JSON document until it has at most
// limit bytes; nil when it is no JSON or texts alone do not help.
func cutTexts(data []byte, limit int) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var root any
	if dec.Decode(&root) != nil {
		return nil
	}
	var texts []text
	collect(root, func(v any) { root = v }, &texts)
	slices.SortStableFunc(texts, func(a, b text) int { return cmp.Compare(len(b.value), len(a.value)) })
	size := len(data)
	for i := 0; size > limit; {
		if i == len(texts) {
			return nil
		}
		// An escaped text is longer than its value: what the value loses is
		// the least that the document loses.
		for ; i < len(texts) && size > limit; i++ {
			short := cut(texts[i].value, keptOfCut)
			if len(short) >= len(texts[i].value) {
				return nil
			}
			texts[i].set(short)
			size -= len(texts[i].value) - len(short)
		}
		b, err := encodePlain(root)
		if err != nil {
			return nil
		}
		if size = len(b); size <= limit {
			return b
		}
	}
	return nil
}

// encodePlain encodes without the escapes that are for HTML.
func encodePlain(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// collect finds the texts of a document, with the means to replace them.
func collect(v any, set func(any), texts *[]text) {
	switch v := v.(type) {
	case string:
		*texts = append(*texts, text{v, func(s string) { set(s) }})
	case []any:
		for i := range v {
			collect(v[i], func(x any) { v[i] = x }, texts)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			collect(v[k], func(x any) { v[k] = x }, texts)
		}
	}
}
