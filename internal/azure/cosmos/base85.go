package cosmos

import (
	"encoding/binary"
	"errors"
)

// alphabet85 is 85 characters that JSON never escapes, neither in the way
// that is safe for HTML. Five of them carry four bytes. (encoding/ascii85 has
// quotes and backslashes in its alphabet, which JSON doubles, and base 64 is a
// sixteenth longer.)
const alphabet85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%()*+,-./:;=?@[]^_`{"

// values85 maps a character to its value plus one; 0 is not in the alphabet.
var values85 = func() (values [256]byte) {
	for i := range len(alphabet85) {
		values[alphabet85[i]] = byte(i) + 1
	}
	return values
}()

// size85 is the length of n bytes in base 85.
func size85(n int) int {
	if n%4 == 0 {
		return n / 4 * 5
	}
	return n/4*5 + n%4 + 1
}

// append85 appends src in base 85. A last group of n bytes is n+1 characters.
func append85(dst, src []byte) []byte {
	for len(src) >= 4 {
		dst = appendGroup(dst, binary.BigEndian.Uint32(src), 5)
		src = src[4:]
	}
	if len(src) > 0 {
		var last [4]byte
		copy(last[:], src)
		dst = appendGroup(dst, binary.BigEndian.Uint32(last[:]), len(src)+1)
	}
	return dst
}

func appendGroup(dst []byte, v uint32, keep int) []byte {
	var g [5]byte
	for i := 4; i >= 0; i-- {
		g[i] = alphabet85[v%85]
		v /= 85
	}
	return append(dst, g[:keep]...)
}

var err85 = errors.New("not base 85")

// decode85 is the inverse of append85.
func decode85(s string) ([]byte, error) {
	dst := make([]byte, 0, len(s)/5*4+4)
	for len(s) > 0 {
		n := min(5, len(s))
		v, err := group85(s[:n])
		if err != nil {
			return nil, err
		}
		var g [4]byte
		binary.BigEndian.PutUint32(g[:], v)
		dst = append(dst, g[:n-1]...)
		s = s[n:]
	}
	return dst, nil
}

// group85 reads up to five characters; what is missing counts as the highest,
// so that the bytes kept come out as they went in.
func group85(s string) (uint32, error) {
	var v uint64
	for i := range 5 {
		digit := byte(84)
		if i < len(s) {
			if values85[s[i]] == 0 {
				return 0, err85
			}
			digit = values85[s[i]] - 1
		}
		v = v*85 + uint64(digit)
	}
	if len(s) == 1 || v > 1<<32-1 {
		return 0, err85
	}
	return uint32(v), nil
}
