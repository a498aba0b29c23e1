package sandbox

import (
	"encoding/hex"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
)

// identities makes the names and ids of a workspace, the same ones for the
// same seed.
type identities struct{ rng *rand.Rand }

func newIdentities(seed int64) *identities {
	return &identities{rng: rand.New(rand.NewPCG(uint64(seed), 0x5a4db0c5))}
}

var (
	nameMoods   = []string{"amiable", "brave", "calm", "dreamy", "eager", "frosty", "gentle", "honest", "jolly", "keen", "loyal", "modest", "neat", "olive", "patient", "quiet", "sincere", "tender", "upbeat", "wise"}
	nameAnimals = []string{"ant", "bee", "crab", "dove", "elk", "fox", "gnat", "hare", "ibis", "jackal", "kiwi", "lion", "moth", "newt", "owl", "panda", "quail", "raven", "seal", "yak"}
)

// run makes a name such as Azure ML gives a run: sincere_yak_7f3k2m9xq1.
func (i *identities) run() string {
	suffix := strconv.FormatUint(i.rng.Uint64N(36*36*36*36*36*36*36*36*36*36), 36)
	return nameMoods[i.rng.IntN(len(nameMoods))] + "_" + nameAnimals[i.rng.IntN(len(nameAnimals))] + "_" + suffix
}

func (i *identities) uuid() string { return string(appendUUID(nil, i.rng.Uint64(), i.rng.Uint64())) }

// appendUUID writes a version 4 UUID made of the given bits.
func appendUUID(dst []byte, hi, lo uint64) []byte {
	var b [16]byte
	for n := range 8 {
		b[n], b[8+n] = byte(hi>>(8*n)), byte(lo>>(8*n))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	for n, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if n > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// seeded is a source of randomness of its own for each name, so that what a
// job scores does not depend on what ran beside it.
func seeded(seed int64, name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
}

// stableUUID is the id that goes with a name, such as an experiment's.
func stableUUID(seed int64, name string) string {
	rng := seeded(seed, name)
	return string(appendUUID(nil, rng.Uint64(), rng.Uint64()))
}
