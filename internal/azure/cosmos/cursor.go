package cosmos

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// cursorVersion begins every cursor, so that another format is refused.
const cursorVersion = 1

// fingerprint tells apart the listings for which a cursor is good: everything
// but the limit.
func fingerprint(q lineage.Query) []byte {
	h := sha256.New()
	for _, s := range []string{q.Partition, q.Prefix, q.From, q.Until} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(s)))
		h.Write(size[:])
		h.Write([]byte(s))
	}
	direction := byte(0)
	if q.Descending {
		direction = 1
	}
	h.Write([]byte{byte(q.Order), direction})
	const enough = 8
	return h.Sum(nil)[:enough]
}

// makeCursor names the place behind a key.
func makeCursor(q lineage.Query, key string) string {
	b := append([]byte{cursorVersion}, fingerprint(q)...)
	return base64.RawURLEncoding.EncodeToString(append(b, key...))
}

func openCursor(q lineage.Query) (key string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	head := append([]byte{cursorVersion}, fingerprint(q)...)
	if err != nil || len(b) <= len(head) || !bytes.HasPrefix(b, head) || !utf8.Valid(b[len(head):]) {
		return "", lineage.ErrBadCursor
	}
	return string(b[len(head):]), nil
}
