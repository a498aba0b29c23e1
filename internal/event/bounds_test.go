package event_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/modelwarden/modelwarden/internal/event"
)

// adversarial are bodies of about n bytes that are built to be expensive.
func adversarial(n int) map[string]string {
	fill := func(s string) string { return strings.Repeat(s, n/len(s)+1) }
	tagged := func(tag string) string {
		b, _ := json.Marshal(tag)
		return fmt.Sprintf(`{"specversion":"1.0","id":"1","source":%q,"type":"Microsoft.MachineLearningServices.RunCompleted","subject":"experiments/x/runs/y","data":{"runTags":{"azureml_modelmonitor_threshold_breached":%s}}}`, workspace, b)
	}
	tags := func(entry string) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, entry+",", i)
		}
		return fmt.Sprintf(`{"id":"1","source":%q,"type":"Microsoft.MachineLearningServices.RunCompleted","subject":"experiments/x/runs/y","data":{"runTags":{%s"z":1}}}`, workspace, b.String())
	}
	data := func(typ, data string) string {
		return fmt.Sprintf(`{"id":"1","source":%q,"type":"Microsoft.MachineLearningServices.%s","subject":"models/a:1","data":%s}`, workspace, typ, data)
	}
	return map[string]string{
		"open brackets":            fill("["),
		"open objects":             fill(`{"a":`),
		"commas":                   "[" + fill(",") + "]",
		"commas without end":       "[" + fill(","),
		"numbers":                  "[" + fill("1,") + "1]",
		"empty objects":            "[" + fill("{},") + "{}]",
		"empty arrays":             "[" + fill("[],") + "[]]",
		"broken objects":           "[" + fill("{,") + "]",
		"closed broken objects":    "[" + fill(`{"a" 1},`) + "1]",
		"smallest events":          "[" + fill(`{"id":"1","type":"a","source":"b"},`) + "1]",
		"events and junk in turns": "[" + fill(`{"id":"1","type":"a","source":"b"},1,`) + "1]",
		"events without commas":    fill(`{"id":"1","type":"a","source":"b"}`),
		"escapes":                  `{"id":"` + fill(`\u0041`) + `","type":"a","source":"b"}`,
		"backslashes":              fill(`\`),
		"quotes":                   "[" + fill(`"`),
		"escaped names":            "[{" + fill(`"\u0041":1,`) + `"z":1}]`,
		"alerts of another schema": "[" + fill(`{"schemaId":"x"},`) + "1]",
		"alerts without end":       "[" + fill(`{"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{"alertId":"a"}}},`) + "1]",
		"invalid UTF-8":            `{"id":"` + fill("a\xff") + `","type":"a","source":"b"}`,
		"tag of brackets":          tagged(fill("[")),
		"tag of braces":            tagged("[" + fill("{")),
		"tag of nested objects":    tagged("[" + fill(`{"a":`)),
		"tag of quotes":            tagged("[" + fill("'")),
		"tag of quotes and spaces": tagged("[" + fill("' ")),
		"tag of backslashes":       tagged("[" + fill(`\`)),
		"tag of commas":            tagged("[" + fill(",")),
		"tag of small entries":     tagged("[" + fill(`{"group":"a"},`)),
		"tag of quoted entries":    tagged("[" + fill(`'{"group":"a"}', `)),
		"tag of broken entries":    tagged("[" + fill(`'{"group" "a"}', `)),
		"tag of signals":           tagged(fill("signal 'a' has failed []")),
		"tag of the word signal":   tagged(fill("signal ")),
		"tag of letters":           tagged(fill("x")),
		"tag of open quotes":       tagged("[" + fill(`'{"group":"`)),
		"many tags":                tags(`"t%d":1`),
		"many objects as tags":     tags(`"t%d":{ "a" : [ 1 ] }`),
		"many breach tags":         tags(`"azureml.modelmonitor.threshold.breached.s%d":"['{\"group\":\"a\"}']"`),
		"many models":              data("ModelDeployed", `{"serviceName":"s","modelIds":"`+fill("a:1,")+`"}`),
		"many models in an array":  data("ModelDeployed", `{"serviceName":"s","modelIds":[`+fill(`"a:1",`)+`1]}`),
		"many slashes":             data("ModelRegistered", `{"modelProperties":{"run_id":"`+fill("a/")+`"}}`),
		"data in data":             data("ModelRegistered", `"`+fill(`{\"a\":`)+`"`),
		"many conditions":          fmt.Sprintf(`{"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{"alertId":"a"},"alertContext":{"condition":{"allOf":[%s{}]}}}}`, fill(`{"metricName":"m","dimensions":[{"name":"a","value":1}]},`)),
	}
}

// TestMaliceCostsLittle takes a megabyte of malice the whole way. Memory stays
// a small multiple of the input, all that is allocated counted, kept or not.
// Time shows quadratic scans: a megabyte of any kind takes milliseconds, so
// seconds mean trouble even on a busy machine.
func TestMaliceCostsLittle(t *testing.T) {
	const size, factor, limit = 1 << 20, 16, 5 * time.Second
	p := newParser(t)
	for name, body := range adversarial(size) {
		t.Run(name, func(t *testing.T) {
			raw := []byte(body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			from := time.Now()
			items, err := event.Split("application/json", nil, raw)
			for _, item := range items {
				if item.Problem == nil {
					_, _ = p.Parse(item.Envelope) // one event is what one worker holds
					break
				}
			}
			took := time.Since(from)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > factor*uint64(len(raw)) {
				t.Errorf("%d bytes allocated for %d (%d items, %v)", got, len(raw), len(items), err)
			}
			if took > limit {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestSplitAllocatesPerBatchNotPerEvent(t *testing.T) {
	body := batchOf(t, "testdata/azure/run-completed.cloudevents.json", 100)
	got := testing.AllocsPerRun(20, func() {
		if _, err := event.Split("", nil, body); err != nil {
			t.Fatal(err)
		}
	})
	if got > 4 {
		t.Errorf("%v allocations for 100 events", got)
	}
	items, _ := event.Split("", nil, body)
	buf := make([]byte, 0, 4096)
	if got := testing.AllocsPerRun(20, func() { buf = items[0].Envelope.AppendJSON(buf[:0]) }); got != 0 {
		t.Errorf("%v allocations to write an event", got)
	}
}
