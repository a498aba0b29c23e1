package app_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/modelwarden/modelwarden/internal/"

// packages maps each package of the product to what it imports directly, by
// the fields of go list's Package that tell.
func packages(t *testing.T, fields ...string) map[string][]string {
	t.Helper()
	format := "{{.ImportPath}}"
	for _, f := range fields {
		format += " {{join ." + f + " \" \"}}"
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", format, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		imports[strings.TrimPrefix(words[0], module)] = words[1:]
	}
	return imports
}

// TestOnlyAdaptersSeeSDKs holds law 7: Azure SDKs belong to the adapters below
// azure, and to their tests.
func TestOnlyAdaptersSeeSDKs(t *testing.T) {
	adapters := 0
	for pkg, imports := range packages(t, "Imports", "TestImports", "XTestImports") {
		for _, imp := range imports {
			switch {
			case !strings.HasPrefix(imp, "github.com/Azure/"):
			case strings.HasPrefix(pkg, "azure/"):
				adapters++
			default:
				t.Errorf("%s imports %s: only azure/... may", pkg, imp)
			}
		}
	}
	if adapters == 0 {
		t.Error("no package imports an Azure SDK: this test looks for the wrong thing")
	}
}

// TestTheDomainSeesNoOutside: SQLite is embedded's alone, and the domain
// imports neither HTTP nor a database.
func TestTheDomainSeesNoOutside(t *testing.T) {
	for pkg, imports := range packages(t, "Imports") {
		for _, imp := range imports {
			if pkg != "embedded" && (strings.Contains(imp, "sqlite") || imp == "database/sql") {
				t.Errorf("%s imports %s: only embedded may", pkg, imp)
			}
			domain := slices.Contains([]string{"event", "lineage", "policy", "review", "stage"}, pkg)
			if domain && (imp == "net/http" || imp == "go.uber.org/zap" || strings.HasPrefix(imp, "github.com/prometheus/")) {
				t.Errorf("%s is domain and imports %s", pkg, imp)
			}
		}
	}
}

// layers, outermost first: a package may import from layers further in, not
// from its own layer or further out.
var layers = [][]string{
	{"app"},
	{
		"ingest", "worker", "oncall", "effect", "web", "cli", "embedded", "sandbox", "porttest",
		"azure/cosmos", "azure/eventgrid", "azure/identity", "azure/ml", "azure/servicebus",
	},
	{"azureml", "azure/answer", "oncall"},
	{"policy", "review", "stage"},
	{"policy/strictyaml", "lineage"},
	{"event"},
}

func TestImportsPointInwards(t *testing.T) {
	depth := map[string]int{}
	for i, layer := range layers {
		for _, pkg := range layer {
			depth[pkg] = i
		}
	}
	for pkg, imports := range packages(t, "Imports") {
		from, ok := depth[pkg]
		if !ok {
			t.Errorf("package %s has no layer: decide where it belongs", pkg)
		}
		for _, imp := range imports {
			inner, ours := strings.CutPrefix(imp, module)
			if ours && depth[inner] <= from {
				t.Errorf("%s imports %s, which is not further in", pkg, inner)
			}
		}
	}
}

// TestTheProductNeedsNoTestServers keeps porttest and test/ out of the binary.
func TestTheProductNeedsNoTestServers(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/modelwarden/modelwarden/cmd/modelwarden").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if strings.Contains(dep, "modelwarden/internal/porttest") || strings.Contains(dep, "modelwarden/test") || dep == "testing" {
			t.Errorf("the binary contains %s", dep)
		}
	}
}
