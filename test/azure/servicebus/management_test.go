package servicebus_test

import (
	"fmt"
	"testing"

	goamqp "github.com/Azure/go-amqp"

	"github.com/modelwarden/modelwarden/test/azure/servicebus"
)

func TestManagementRefusals(t *testing.T) {
	within(t, servicebus.Options{}, func(d *desk) {
		d.send("active") // number 1, neither scheduled nor deferred
		session := d.plainSession(nil)
		unknown := goamqp.UUID{1}
		for what, c := range map[string]struct {
			operation string
			body      any
			want      int32
			condition string
		}{
			"unknown operation": {"com.microsoft:dance", map[string]any{}, 501, "amqp:not-implemented"},
			"no map":            {"com.microsoft:peek-message", "x", 400, "com.microsoft:argument-error"},
			"peek nothing":      {"com.microsoft:peek-message", map[string]any{"from-sequence-number": int64(1), "message-count": int32(0)}, 400, "com.microsoft:argument-error"},
			"renew unknown":     {"com.microsoft:renew-lock", map[string]any{"lock-tokens": []goamqp.UUID{unknown}}, 410, "com.microsoft:message-lock-lost"},
			"renew nothing":     {"com.microsoft:renew-lock", map[string]any{}, 400, "com.microsoft:argument-error"},
			"renew text":        {"com.microsoft:renew-lock", map[string]any{"lock-tokens": []string{"x"}}, 400, "com.microsoft:argument-error"},
			"cancel unknown":    {"com.microsoft:cancel-scheduled-message", map[string]any{"sequence-numbers": []int64{9}}, 404, "com.microsoft:message-not-found"},
			"cancel text":       {"com.microsoft:cancel-scheduled-message", map[string]any{"sequence-numbers": []string{"x"}}, 400, "com.microsoft:argument-error"},
			"receive unknown":   {"com.microsoft:receive-by-sequence-number", map[string]any{"sequence-numbers": []int64{9}, "receiver-settle-mode": uint32(1)}, 404, "com.microsoft:message-not-found"},
			"cancel active":     {"com.microsoft:cancel-scheduled-message", map[string]any{"sequence-numbers": []int64{1}}, 404, "com.microsoft:message-not-found"},
			"receive active":    {"com.microsoft:receive-by-sequence-number", map[string]any{"sequence-numbers": []int64{1}, "receiver-settle-mode": uint32(1)}, 404, "com.microsoft:message-not-found"},
			"settle unknown":    {"com.microsoft:update-disposition", map[string]any{"disposition-status": "completed", "lock-tokens": []goamqp.UUID{unknown}}, 410, "com.microsoft:message-lock-lost"},
			"settle how":        {"com.microsoft:update-disposition", map[string]any{"disposition-status": "lost", "lock-tokens": []goamqp.UUID{unknown}}, 400, "com.microsoft:argument-error"},
			"schedule nothing":  {"com.microsoft:schedule-message", map[string]any{}, 400, "com.microsoft:argument-error"},
			"schedule rubbish":  {"com.microsoft:schedule-message", map[string]any{"messages": []any{map[string]any{"message": []byte{1}}}}, 400, "amqp:decode-error"},
		} {
			a := d.call(session, "events/$management", map[string]any{"operation": c.operation}, c.body)
			if a.ApplicationProperties["statusCode"] != c.want || fmt.Sprint(a.ApplicationProperties["errorCondition"]) != c.condition {
				t.Errorf("%s: %v, want %d %s", what, a.ApplicationProperties, c.want, c.condition)
			}
		}
	})
}

func TestManagementNeedsRights(t *testing.T) {
	o := queue(servicebus.Queue{})
	o.Keys = map[string]servicebus.Key{"sender": {Key: "k", Rights: servicebus.Send}}
	within(t, o, func(d *desk) {
		a := d.call(d.plainSession(nil), "events/$management", map[string]any{"operation": "com.microsoft:peek-message"},
			map[string]any{"from-sequence-number": int64(0), "message-count": int32(1)})
		if a.ApplicationProperties["statusCode"] != int32(401) {
			t.Errorf("peek without Listen: %v", a.ApplicationProperties)
		}
	})
}
