package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file that marks a folder as taken. It stays behind; only
// the system's lock on it counts, so a stale one is harmless.
const lockName = "modelwarden.lock"

// lockFolder takes the folder for this process or returns ErrInUse with the
// holder's process id. Closing the file releases it.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	held, err := tryLock(f)
	if err == nil && held {
		err = writePID(f)
	}
	if err == nil && held {
		return f, nil
	}
	defer f.Close()
	if err != nil {
		return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
	}
	return nil, fmt.Errorf("%s: %w by process %s; stop it, or use another folder", dir, ErrInUse, readPID(f))
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func readPID(f *os.File) string {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0) // a holder that has not written yet is "unknown"
	if pid := strings.TrimSpace(string(buf[:n])); pid != "" {
		return pid
	}
	return "unknown"
}
