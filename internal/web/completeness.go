package web

import (
	"context"
	"fmt"
	"math"

	"github.com/modelwarden/modelwarden/internal/lineage"
)

// completeness is how much is known of a model version; nil for other assets.
func (s *server) completeness(ctx context.Context, doc *lineage.Asset) (*lineage.Completeness, error) {
	if doc.ID.Kind() != lineage.Model || doc.ID.Version() == "" {
		return nil, nil
	}
	c, err := lineage.CompletenessOf(ctx, s.Store, doc)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// percent writes a share from 0 to 1 for people.
func percent(share float64) string { return fmt.Sprintf("%.0f%%", math.Floor(share*100)) }
