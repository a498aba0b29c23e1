package cosmos

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// Forms of a body within an item. JSON has no bytes, and what is not UTF-8
// does not survive in its strings; base64 would make a third more of it.
const (
	asText    = 'b' // property "b": the body itself
	asBytes   = 'r' // property "z", beginning with r: base 85
	asFlate   = 'f' // property "z", beginning with f: base 85 of DEFLATE
	flateFrom = 4 << 10
)

// form is a body as it goes into an item.
type form struct {
	kind byte
	text []byte // of asText; bytes to be put into base 85 otherwise
	size int    // in the request
}

// smallest finds the form that makes the smallest request.
func smallest(body []byte) form {
	best := form{asBytes, body, size85(len(body)) + 1}
	if utf8.Valid(body) {
		if size := jsonSize(body); size <= best.size {
			best = form{asText, body, size}
		}
	}
	if len(body) > flateFrom {
		if z := deflate(body); size85(len(z))+1 < best.size {
			best = form{asFlate, z, size85(len(z)) + 1}
		}
	}
	return best
}

// append writes the property.
func (f form) append(b []byte) []byte {
	if f.kind == asText {
		b = append(b, `"b":`...)
		return appendJSON(b, string(f.text))
	}
	b = append(b, `"z":"`...)
	b = append(b, f.kind)
	b = append85(b, f.text)
	return append(b, '"')
}

// bodyOf reads the two properties, of which an item has one.
func bodyOf(text *string, packed string) ([]byte, error) {
	if text != nil {
		return []byte(*text), nil
	}
	if packed == "" {
		return nil, errors.New("it has no body")
	}
	b, err := decode85(packed[1:])
	switch {
	case err != nil:
		return nil, fmt.Errorf("its body: %w", err)
	case packed[0] == asBytes:
		return b, nil
	case packed[0] == asFlate:
		return inflate(b)
	}
	return nil, fmt.Errorf("its body has the unknown form %q", packed[0])
}

// flaters are compressors to be used again: each is half a megabyte.
var flaters = sync.Pool{New: func() any {
	// The level is valid: there is no error.
	w, _ := flate.NewWriter(nil, flate.DefaultCompression)
	return w
}}

func deflate(body []byte) []byte {
	w := flaters.Get().(*flate.Writer)
	defer flaters.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	// A bytes.Buffer takes everything.
	_, _ = w.Write(body)
	_ = w.Close()
	return out.Bytes()
}

// inflate reads no more than a body may have: an item is not to be trusted
// with memory.
func inflate(z []byte) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(z)), lineage.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("its body: %w", err)
	}
	if len(body) > lineage.MaxBody {
		return nil, fmt.Errorf("its body has more than %d bytes", lineage.MaxBody)
	}
	return body, nil
}
