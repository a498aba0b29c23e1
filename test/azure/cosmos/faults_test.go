package cosmos_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/modelwarden/modelwarden/test/azure/cosmos"
)

// onItems spares what SDKs ask before they work.
func onItems(op cosmos.Operation, _ *http.Request) bool { return op != cosmos.ReadAccount }

func TestFaultsBeforeAndAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := &cosmos.Faults{Only: onItems}
		_, ct := open(t, cosmos.Options{Faults: faults}, cosmos.ContainerOptions{})
		for i, c := range []struct {
			fault  cosmos.Fault
			status int // 0: no answer
			effect bool
		}{
			{cosmos.Fault{Status: 429, RetryAfter: 1500 * time.Millisecond, Substatus: 3200}, 429, false},
			{cosmos.Fault{Status: 449}, 449, false},
			{cosmos.Fault{Status: 503}, 503, false},
			{cosmos.Fault{Status: 408, AfterEffect: true}, 408, true},
			{cosmos.Fault{Drop: true}, 0, false},
			{cosmos.Fault{Drop: true, AfterEffect: true}, 0, true},
		} {
			id := fmt.Sprint(i)
			faults.Add(c.fault)
			_, err := ct.CreateItem(t.Context(), pk("p"), []byte(`{"id":"`+id+`","pk":"p"}`), nil)
			var r *azcore.ResponseError
			if answered := errors.As(err, &r); err == nil || answered != (c.status > 0) || answered && r.StatusCode != c.status {
				t.Errorf("%+v: %v", c.fault, err)
			}
			if c.fault.RetryAfter > 0 && (r.RawResponse.Header.Get("x-ms-retry-after-ms") != "1500" || r.RawResponse.Header.Get("x-ms-substatus") != "3200") {
				t.Errorf("headers %v", r.RawResponse.Header)
			}
			if _, err := ct.ReadItem(t.Context(), pk("p"), id, nil); (err == nil) != c.effect {
				t.Errorf("%+v: read afterwards: %v", c.fault, err)
			}
		}
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := &cosmos.Faults{Only: onItems}
		_, ct := open(t, cosmos.Options{Faults: faults}, cosmos.ContainerOptions{})
		faults.Add(cosmos.Fault{Delay: time.Minute})
		start := time.Now()
		if _, err := ct.CreateItem(t.Context(), pk("p"), []byte(`{"id":"a","pk":"p"}`), nil); err != nil || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		faults.Add(cosmos.Fault{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := ct.ReadItem(ctx, pk("p"), "a", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestFaultyPages(t *testing.T) {
	faults := &cosmos.Faults{Only: onItems}
	_, ct := zoo(t, cosmos.Options{Faults: faults}, cosmos.ContainerOptions{})
	faults.Add(cosmos.Fault{EmptyPage: true}, cosmos.Fault{ShortPage: true}, cosmos.Fault{EmptyPage: true})
	items, pages, err := query(t.Context(), ct, "SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 1 LIMIT 3", pk("p"), nil)
	if err != nil || pages != 4 || !slices.Equal(items, []string{`"b"`, `"c"`, `"d"`}) {
		t.Errorf("%v in %d pages, %v", items, pages, err)
	}
}

// TestSeeds: the same seed decides the same, another one does not.
func TestSeeds(t *testing.T) {
	story := func(seed uint64) string {
		faults := &cosmos.Faults{Seed: seed, Only: onItems, Rates: []cosmos.Rate{
			{Fault: cosmos.Fault{Status: 503}, Probability: 0.2}, {Fault: cosmos.Fault{Status: 449}, Probability: 0.2},
		}}
		_, ct := open(t, cosmos.Options{Faults: faults}, cosmos.ContainerOptions{})
		var b strings.Builder
		for range 200 {
			_, err := ct.UpsertItem(t.Context(), pk("p"), []byte(`{"id":"a","pk":"p"}`), nil)
			fmt.Fprint(&b, status(t, err), " ")
		}
		faults.Stop()
		if _, err := ct.UpsertItem(t.Context(), pk("p"), []byte(`{"id":"a","pk":"p"}`), nil); err != nil {
			t.Errorf("after Stop: %v", err)
		}
		return b.String()
	}
	one := story(1)
	if one != story(1) || one == story(2) {
		t.Error("the seed does not decide")
	}
	for _, word := range []string{"503", "449"} {
		if n := strings.Count(one, word); n < 20 || n > 60 {
			t.Errorf("%d times %s of 200", n, word)
		}
	}
}

func TestThroughput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ct := open(t, cosmos.Options{Throughput: 20}, cosmos.ContainerOptions{IncludedPaths: []string{}})
		write := func() error {
			_, err := ct.CreateItem(t.Context(), pk("p"), []byte(fmt.Sprintf(`{"id":"%d","pk":"p"}`, time.Now().UnixNano())), nil)
			return err
		}
		served := 0
		var err error
		for err == nil {
			if err = write(); err == nil {
				served++
				time.Sleep(time.Nanosecond)
			}
		}
		var r *azcore.ResponseError
		if !errors.As(err, &r) || r.StatusCode != 429 || served != 4 {
			t.Fatalf("after %d writes of 5.2: %v", served, err)
		}
		wait, err := time.ParseDuration(r.RawResponse.Header.Get("x-ms-retry-after-ms") + "ms")
		if err != nil || wait <= 0 || wait > time.Second {
			t.Fatalf("told to wait %v, %v", wait, err)
		}
		time.Sleep(wait)
		if err := write(); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}

// TestCharges holds the formula of the documentation.
func TestCharges(t *testing.T) {
	large := strings.Repeat("x", 100<<10-200) // 100 KB with the service's properties
	for _, consistency := range []string{"Strong", "Session"} {
		s, ct := open(t, cosmos.Options{Consistency: consistency}, cosmos.ContainerOptions{IncludedPaths: []string{"/n/?"}})
		reads := map[string]float64{"Strong": 2, "Session": 1}[consistency]
		near := func(what string, got float32, want float64) {
			t.Helper()
			if math.Abs(float64(got)-want) > 0.05 {
				t.Errorf("%s, %s: %.2f units, want %.2f", consistency, what, got, want)
			}
		}
		var charges []float32
		for _, item := range []string{`{"id":"a","pk":"p"}`, `{"id":"b","pk":"p","n":1}`, `{"id":"c","pk":"p","x":"` + large + `"}`} {
			created, err := ct.CreateItem(t.Context(), pk("p"), []byte(item), nil)
			if err != nil {
				t.Fatal(err)
			}
			charges = append(charges, created.RequestCharge)
		}
		near("insert", charges[0], 5.2)
		near("insert with an indexed value", charges[1], 5.4)
		near("insert of 100 KB", charges[2], 50.2)
		read, err := ct.ReadItem(t.Context(), pk("p"), "c", nil)
		if err != nil {
			t.Fatal(err)
		}
		near("read of 100 KB", read.RequestCharge, 10*reads)
		replaced, err := ct.UpsertItem(t.Context(), pk("p"), []byte(`{"id":"a","pk":"p"}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		near("replace", replaced.RequestCharge, 10.4)
		for text, want := range map[string]float64{"SELECT * FROM c WHERE c.n = 1": 2.3 + 0.5, "SELECT * FROM c WHERE c.y = 1": 2.3 + 0.5 + 0.5 + 5} {
			page, err := ct.NewQueryItemsPager(text, pk("p"), nil).NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			near(text, page.RequestCharge, want*reads)
		}
		b := ct.NewTransactionalBatch(pk("p"))
		b.CreateItem([]byte(`{"id":"d","pk":"p"}`), nil)
		b.DeleteItem("b", nil)
		batch, err := ct.ExecuteTransactionalBatch(t.Context(), b, nil)
		if err != nil {
			t.Fatal(err)
		}
		near("batch", batch.RequestCharge, 5.2+5.4)
		if n := s.Stats()[cosmos.CreateItem]; n.Requests != 3 || math.Abs(n.RequestUnits-60.8) > 0.05 {
			t.Errorf("counted %+v", n)
		}
	}
}

func TestConsistency(t *testing.T) {
	_, ct := open(t, cosmos.Options{Consistency: "Session"}, cosmos.ContainerOptions{})
	if _, err := ct.UpsertItem(t.Context(), pk("p"), []byte(`{"id":"a","pk":"p"}`), nil); err != nil {
		t.Fatal(err)
	}
	for level, want := range map[azcosmos.ConsistencyLevel]int{azcosmos.ConsistencyLevelStrong: 400, azcosmos.ConsistencyLevelEventual: 0} {
		if _, err := ct.ReadItem(t.Context(), pk("p"), "a", &azcosmos.ItemOptions{ConsistencyLevel: &level}); status(t, err) != want {
			t.Errorf("%s: %v", level, err)
		}
	}
}
