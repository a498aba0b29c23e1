package event

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
)

// Key is the identity of an event: 26 lower-case base32 characters made from
// (source, id, type, subject). All four count, because the same id alone has
// been seen on different events.
type Key string

var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Key derives the envelope's identity. Equal identities give equal keys on
// every machine and in every version.
func (e *Envelope) Key() Key {
	return Key(Digest(e.Source, e.ID, e.Type, e.Subject))
}

// Digest hashes parts into 26 lower-case base32 characters (128 bits). Parts
// are length-prefixed, so ("ab", "c") and ("a", "bc") differ.
func Digest(parts ...string) string {
	var stack [512]byte
	buf := stack[:0]
	for _, p := range parts {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	sum := sha256.Sum256(buf)
	return keyEncoding.EncodeToString(sum[:16])
}
