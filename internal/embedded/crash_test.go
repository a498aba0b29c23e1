package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/embedded"
	"github.com/modelwarden/modelwarden/internal/lineage"
)

// crashDir in the environment makes the test binary the victim of a crash
// test: a process that works on the folder until it is killed.
const crashDir = "MODELWARDEN_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, victim(dir, os.Getenv(crashDir+"_ROUND")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim sends, settles and commits, and reports on standard output what was
// acknowledged. It returns only with an error.
func victim(dir, round string) error {
	db, err := embedded.Open(context.Background(), embedded.Options{Dir: dir, MaxDeliveries: 100})
	if err != nil {
		return err
	}
	var out sync.Mutex
	report := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	failed := make(chan error)
	for worker := range 4 {
		go func() { failed <- victimSends(db.Queue(), fmt.Sprint(round, "-", worker), report) }()
		go func() { failed <- victimSettles(db.Queue(), report) }()
		go func() { failed <- victimCommits(db.Store(), fmt.Sprint(round, "-", worker), report) }()
	}
	return <-failed
}

func victimSends(q lineage.Queue, name string, report func(string, ...any)) error {
	for i := 0; ; i++ {
		ms := make([]lineage.Message, 1+i%20)
		for k := range ms {
			ms[k] = lineage.Message{ID: fmt.Sprintf("%s-%d-%d", name, i, k), Body: make([]byte, 100+i%3000)}
		}
		if err := q.Send(context.Background(), ms); err != nil {
			return err
		}
		for _, m := range ms {
			report("sent %s", m.ID)
		}
	}
}

func victimSettles(q lineage.Queue, report func(string, ...any)) error {
	for {
		ds, err := q.Receive(context.Background(), 15)
		if err != nil {
			return err
		}
		var done []lineage.Settlement
		for i, d := range ds {
			report("received %s %d", d.ID, d.Attempt)
			if i%4 != 0 {
				done = append(done, lineage.Settlement{Lease: d.Lease})
			}
		}
		if err := q.Settle(context.Background(), done); err != nil {
			return err
		}
		for i, d := range ds {
			if i%4 != 0 {
				report("done %s", d.ID)
			}
		}
	}
}

// victimCommits counts two records of one partition up together.
func victimCommits(s lineage.Store, partition string, report func(string, ...any)) error {
	for i := 1; ; i++ {
		body := fmt.Appendf(nil, "%d", i)
		_, err := s.Commit(context.Background(), partition, []lineage.Change{
			{Op: lineage.Upsert, Record: lineage.Record{ID: "a", Sort: fmt.Sprint(i), Body: body}},
			{Op: lineage.Upsert, Record: lineage.Record{ID: "b", Body: body}},
			{Op: lineage.Create, Record: lineage.Record{ID: fmt.Sprint("event/", i), Body: make([]byte, 700)}},
		})
		if err != nil {
			return err
		}
		report("committed %s %d", partition, i)
	}
}

// acknowledged is what a victim reported before it died.
type acknowledged struct {
	sent, done map[string]bool
	received   map[string]int
	committed  map[string]int
}

func (a *acknowledged) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		number := 0
		if len(f) == 3 {
			fmt.Sscan(f[2], &number)
		}
		switch {
		case len(f) == 2 && f[0] == "sent":
			a.sent[f[1]] = true
		case len(f) == 2 && f[0] == "done":
			a.done[f[1]] = true
		case len(f) == 3 && f[0] == "received":
			a.received[f[1]] = max(a.received[f[1]], number)
		case len(f) == 3 && f[0] == "committed":
			a.committed[f[1]] = number
		default:
			return fmt.Errorf("the victim said %q", lines.Text())
		}
	}
	return lines.Err()
}

// TestKilledProcessLosesNothing kills a working process at random moments and
// looks whether all that it was told to be durable is there.
func TestKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	for round := range 8 {
		a := &acknowledged{map[string]bool{}, map[string]bool{}, map[string]int{}, map[string]int{}}
		kill(t, dir, round, a)
		t.Logf("round %d: %d sent, %d received, %d done, %d partitions", round, len(a.sent), len(a.received), len(a.done), len(a.committed))
		if len(a.sent) == 0 || len(a.committed) == 0 {
			t.Fatal("the victim died before it did anything")
		}
		db, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, MaxDeliveries: 100})
		if err != nil {
			t.Fatal(err)
		}
		checkQueue(t, db.Queue(), a)
		checkRecords(t, db.Store(), a)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func kill(t *testing.T, dir string, round int, a *acknowledged) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("%s_ROUND=%d", crashDir, round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReaderSize(out, 1<<20)
	if _, err := reader.Peek(1); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Duration(100+rand.IntN(300))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := a.read(reader); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("the victim was not killed: %v", err)
	}
}

func checkQueue(t *testing.T, q lineage.Queue, a *acknowledged) {
	t.Helper()
	there := drain(t, q)
	for id, attempt := range there {
		if a.done[id] {
			t.Errorf("%s was done and came back", id)
		}
		if attempt <= a.received[id] {
			t.Errorf("%s came as attempt %d after attempt %d", id, attempt, a.received[id])
		}
	}
	for id := range a.sent {
		// What was received may have been settled without an answer.
		if there[id] == 0 && a.received[id] == 0 {
			t.Errorf("%s was sent and is lost", id)
		}
	}
}

// drain settles all there is and returns the attempts by id.
func drain(t *testing.T, q lineage.Queue) map[string]int {
	t.Helper()
	there := map[string]int{}
	for {
		depth, err := q.Depth(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if depth.Ready == 0 {
			return there
		}
		ds, err := q.Receive(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		done := make([]lineage.Settlement, len(ds))
		for i, d := range ds {
			if there[d.ID] > 0 {
				t.Errorf("%s came twice", d.ID)
			}
			there[d.ID] = d.Attempt
			done[i].Lease = d.Lease
		}
		if err := q.Settle(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
}

func checkRecords(t *testing.T, s lineage.Store, a *acknowledged) {
	t.Helper()
	for partition, n := range a.committed {
		rs, err := s.Get(t.Context(), partition, "a", "b", fmt.Sprint("event/", n), fmt.Sprint("event/", n+2))
		if err != nil {
			t.Fatal(err)
		}
		one, two := string(rs[0].Body), string(rs[1].Body)
		if one != two || one != fmt.Sprint(n) && one != fmt.Sprint(n+1) {
			t.Errorf("partition %s has %s and %s, acknowledged was %d", partition, one, two, n)
		}
		if rs[2].Version == "" || rs[3].Version != "" {
			t.Errorf("partition %s: event %d has the version %q, a later one %q", partition, n, rs[2].Version, rs[3].Version)
		}
	}
}
