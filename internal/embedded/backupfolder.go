package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Backup is DB.Backup for a folder that this process has not opened: another
// process may be using it, and goes on. Write-ahead logging gives the copy a
// snapshot of its own.
func Backup(ctx context.Context, dir, path string, progress func(done, total int)) error {
	db := &DB{path: filepath.Join(dir, FileName)}
	if _, err := os.Stat(db.path); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := refuseLogAlone(db.path); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return db.Backup(ctx, path, progress)
}
