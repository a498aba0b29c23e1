package web_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/internal/web"
)

func TestAssetTellsHowCompleteItsStoryIs(t *testing.T) {
	w := newWorld(t).story()
	var a web.Asset
	w.get("/api/v1/assets/"+version2, 200, &a)
	if a.Completeness == nil || a.Completeness.Score != 5.0/8 ||
		!slices.Equal(a.Completeness.Known, []string{"data", "job", "owner", "monitor", "rollback"}) {
		t.Fatalf("%+v", a.Completeness)
	}
	page := w.ask("GET", "/assets/"+version2, "", "Accept", "text/html").Body.String()
	for _, want := range []string{"62% known", "3 gaps", "the environment that its job ran in is not known"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, other := range []string{"model/contoso-ml/churn", monitorID} {
		var b web.Asset
		if w.get("/api/v1/assets/"+other, 200, &b); b.Completeness != nil {
			t.Errorf("%s has a completeness", other)
		}
	}
}
