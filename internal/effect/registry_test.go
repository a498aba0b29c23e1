package effect_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/modelwarden/modelwarden/internal/effect"
	"github.com/modelwarden/modelwarden/internal/policy"
)

func TestEveryTargetGetsItsEffector(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	srv, api := newTarget(t, nil), newJobsAPI(t)
	targets := map[string]policy.Target{
		"hook":  {Webhook: &policy.WebhookTarget{URL: srv.URL}},
		"notes": {Log: &policy.LogTarget{}},
		"train": {Sandbox: &policy.SandboxTarget{}},
		"far":   {AzureML: &policy.AzureMLTarget{Component: "azureml:train:1"}},
		"pager": {Alertmanager: &policy.AlertmanagerTarget{URL: "http://127.0.0.1:9093"}},
	}
	all, err := effect.New(targets, effect.Deps{
		Desk: newDesk(t), Logger: zap.New(core), Version: "test", AllowLoopback: true, SandboxURL: api.URL + workspacePath,
	})
	if err != nil || len(all) != 6 || len(targets) != 5 {
		t.Fatalf("%d effectors, %v", len(all), err)
	}
	for name, kind := range map[string]policy.ActionType{
		policy.Desk: policy.Review, "hook": policy.Notify, "notes": policy.Rollback, "train": policy.Retrain,
	} {
		out, err := all[name].Do(t.Context(), action(kind))
		assertNoLeak(t, out, err)
		if err != nil || out.Summary == "" {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	if len(srv.got) != 1 || api.started != 1 || lines.Len() != 1 {
		t.Errorf("%d requests, %d jobs, %d log lines", len(srv.got), api.started, lines.Len())
	}
	fields := lines.All()[0].ContextMap()
	for name, want := range map[string]string{"type": "rollback", "target": "hook", "asset": "monitor/contoso-ml/churn", "reason": "PSI 0.35 over 0.2"} {
		if fields[name] != want {
			t.Errorf("log field %s: %v", name, fields[name])
		}
	}
	for name, says := range map[string]string{"far": "azureML.workspaces lists none"} {
		if _, err := all[name].Do(t.Context(), action(policy.Retrain)); !isPermanent(err) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := effect.NeedAzureML(targets); len(got) != 1 || got[0] != "far" {
		t.Errorf("need azureml: %q", got)
	}
}

func TestTheGuardHoldsForConfiguredTargets(t *testing.T) {
	// The service does not listen on loopback: its targets may not be there.
	srv := newTarget(t, nil)
	refused, err := effect.New(map[string]policy.Target{"hook": {Webhook: &policy.WebhookTarget{URL: srv.URL}}}, effect.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = refused["hook"].Do(t.Context(), action(policy.Notify))
	if !isPermanent(err) || !strings.Contains(err.Error(), "targets.hook.webhook.allowPrivate") || len(srv.got) != 0 {
		t.Errorf("%d requests, %v", len(srv.got), err)
	}
	named, err := effect.New(map[string]policy.Target{"hook": {Webhook: &policy.WebhookTarget{URL: srv.URL, AllowPrivate: []string{"127.0.0.1"}}}}, effect.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = named["hook"].Do(t.Context(), action(policy.Notify)); err != nil || len(srv.got) != 1 {
		t.Errorf("named: %d requests, %v", len(srv.got), err)
	}
}

func TestWrongTargetsAreAllNamedAndTellNothing(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hook := func(w policy.WebhookTarget) policy.Target {
		if w.URL == "" {
			w.URL = "https://ci.example"
		}
		return policy.Target{Webhook: &w}
	}
	targets := map[string]policy.Target{
		"a": {},
		"b": hook(policy.WebhookTarget{SecretEnv: "NOT_SET"}),
		"c": hook(policy.WebhookTarget{SecretFile: filepath.Join(dir, "missing")}),
		"d": hook(policy.WebhookTarget{SecretFile: write("empty", "\n")}),
		"e": hook(policy.WebhookTarget{SecretFile: write("large", strings.Repeat(theSecret, 200))}),
		"f": hook(policy.WebhookTarget{SecretFile: write("bad", theSecret+"!")}),
		"g": hook(policy.WebhookTarget{URL: "ftp://svc:" + thePassword + "@x"}),
		"h": hook(policy.WebhookTarget{AllowPrivate: []string{"host:80"}}),
		"i": {Sandbox: &policy.SandboxTarget{}},
		"j": {Sandbox: &policy.SandboxTarget{URL: "http://svc:" + thePassword + "@sandbox/"}},
	}
	_, err := effect.New(targets, effect.Deps{LookupEnv: func(string) (string, bool) { return "", false }})
	if err == nil {
		t.Fatal("accepted")
	}
	assertNoLeak(t, policy.Outcome{}, err)
	for _, want := range []string{
		"targets.a.kind: ", "targets.b.webhook.secretEnv: ", "targets.c.webhook.secretFile: ", "targets.d.webhook.secretFile: ",
		"targets.e.webhook.secretFile: ", "targets.f.webhook.secret: ", "targets.g.webhook.url: ",
		"targets.h.webhook.allowPrivate: ", "targets.i.sandbox.url: ", "targets.j.sandbox.url: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not named: %s", want)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(targets) {
		t.Errorf("%d problems in %d lines:\n%v", len(targets), lines, err)
	}
}

func TestAttemptsAreTheTargets(t *testing.T) {
	three := effect.BackoffOf(policy.Target{Webhook: &policy.WebhookTarget{MaxAttempts: 3}})
	if _, giveUp := three.Next(3, errDown, t0, func() float64 { return 0 }); !giveUp {
		t.Error("tried a fourth time")
	}
	if _, giveUp := effect.BackoffOf(policy.Target{Log: &policy.LogTarget{}}).Next(3, errDown, t0, func() float64 { return 0 }); giveUp {
		t.Error("a target without a limit has the default's")
	}
	pager := effect.BackoffOf(policy.Target{PagerDuty: &policy.PagerDutyTarget{}})
	if at, giveUp := pager.Next(39, errDown, t0, func() float64 { return 1 }); giveUp || at.Sub(t0) != 15*time.Minute {
		t.Errorf("what calls people is given up after 39 tries (%t), or waits %s", giveUp, at.Sub(t0))
	}
}

func TestLogTargetNeedsNobody(t *testing.T) {
	out, err := effect.NewLog(zap.NewNop()).Do(context.Background(), action(policy.Retrain))
	assertNoLeak(t, out, err)
	if err != nil {
		t.Error(err)
	}
}
