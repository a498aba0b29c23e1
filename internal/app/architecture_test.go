package app_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/modelwarden/modelwarden/internal/"

// packages maps each package of the product to what it imports directly.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		imports[strings.TrimPrefix(fields[0], module)] = fields[1:]
	}
	return imports
}

// TestOnlyAdaptersSeeSDKs holds law 7: SQLite is embedded's alone, Azure SDKs
// belong to the adapters below azure, and the domain imports neither HTTP nor a database.
func TestOnlyAdaptersSeeSDKs(t *testing.T) {
	for pkg, imports := range packages(t) {
		for _, imp := range imports {
			if pkg != "embedded" && (strings.Contains(imp, "sqlite") || imp == "database/sql") {
				t.Errorf("%s imports %s: only embedded may", pkg, imp)
			}
			if !strings.HasPrefix(pkg, "azure/") && strings.HasPrefix(imp, "github.com/Azure/") {
				t.Errorf("%s imports %s: only azure/... may", pkg, imp)
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
		"ingest", "worker", "effect", "web", "cli", "embedded", "sandbox", "porttest",
		"azure/cosmos", "azure/eventgrid", "azure/identity", "azure/ml", "azure/servicebus",
	},
	{"azureml", "azure/answer"},
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
	for pkg, imports := range packages(t) {
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
