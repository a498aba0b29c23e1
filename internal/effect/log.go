package effect

import (
	"context"

	"go.uber.org/zap"

	"github.com/modelwarden/modelwarden/internal/policy"
)

// Log writes actions to the log and does nothing else: for trying a policy
// out. A repeated action is one more line, which is all that a crash can cost
// here.
type Log struct{ logger *zap.Logger }

// NewLog makes a Log target.
func NewLog(logger *zap.Logger) *Log { return &Log{logger} }

// Do implements policy.Effector.
func (l *Log) Do(_ context.Context, a policy.Action) (policy.Outcome, error) {
	l.logger.Info("action",
		zap.String("type", string(a.Type)),
		zap.String("target", a.Target),
		zap.String("key", a.Key),
		zap.String("policy", a.Policy),
		zap.String("asset", a.Asset),
		zap.String("event", a.Event),
		zap.String("reason", a.Reason),
	)
	return policy.Outcome{Summary: "written to the log"}, nil
}
