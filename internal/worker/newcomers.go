package worker

import (
	"sync"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// newcomers guesses whether an asset that this process has not at hand is new
// altogether. Most jobs and model versions are heard of once or a few times in
// a row: where the first of it comes here, reading that nothing is known is a
// request for nothing. A wrong guess costs one request more, so guesses are
// made per kind of asset, and only while most would have been right.
type newcomers struct {
	mu    sync.Mutex
	score map[lineage.AssetKind]int
}

// maxScore is how many wrong guesses in a row end a long row of right ones.
const maxScore = 32

// likely says whether the asset is worth a guess.
func (n *newcomers) likely(home string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.score[lineage.ID(home).Kind()] >= 0
}

// note learns what turned out.
func (n *newcomers) note(home string, absent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.score == nil {
		n.score = map[lineage.AssetKind]int{}
	}
	step := -1
	if absent {
		step = 1
	}
	kind := lineage.ID(home).Kind()
	n.score[kind] = max(-maxScore, min(maxScore, n.score[kind]+step))
}
