//go:build peers

package peers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/modelwarden/modelwarden/test/boot"
)

// run runs the boot.Binary to its end, with no server to talk to.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(boot.Binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("modelwarden %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// completeScript completes the words after the first argument, the folder
// that holds the completion script, as bash does at a press of Tab.
const completeScript = `
source /usr/share/bash-completion/bash_completion
source "$1/completion.bash"
shift
complete -p modelwarden >/dev/null || exit 1
compopt() { :; } # only within a real completion
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
__start_modelwarden
printf '%s\n' "${COMPREPLY[@]}"
`

func TestBashCompletes(t *testing.T) {
	bash := peer(t, "bash")
	s := bootStory(t, "")
	dir := t.TempDir()
	script := filepath.Join(dir, "completion.bash")
	if err := os.WriteFile(script, []byte(run(t, "completion", "bash")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(bash, "-n", script).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("bash -n: %v\n%s", err, out)
	}
	for typed, want := range map[string]string{
		"modelwarden rev":                         "review",
		"modelwarden review sn":                   "snooze",
		"modelwarden serve --conf":                "--config",
		"modelwarden model list -o j":             "json",
		"modelwarden review ack ":                 first(t, s, "/api/v1/reviews").ID,
		"modelwarden lineage model/contoso-ml/ch": churn,
	} {
		cmd := exec.Command(bash, append([]string{"--norc", "-c", completeScript, "bash", dir}, strings.Split(typed, " ")...)...)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(boot.Binary)+":"+os.Getenv("PATH"), "MODELWARDEN_SERVER="+s.URL)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if offered := strings.Fields(string(out)); err != nil || stderr.Len() > 0 || !slices.Contains(offered, want) {
			t.Errorf("%q is completed to %q, want %q among it (%v)\n%s", typed, offered, want, err, &stderr)
		}
	}
}

func TestOtherShellsHaveACompletion(t *testing.T) {
	for _, shell := range []string{"zsh", "fish", "powershell"} {
		if out := run(t, "completion", shell); !strings.Contains(out, "modelwarden") {
			t.Errorf("%s: %q", shell, out)
		}
	}
}

// invocation is a command as documentation writes it.
var (
	invocation = regexp.MustCompile("(?:^|[ `])(?:\\./bin/|go run \\./cmd/)?modelwarden((?: +[^ `\n]+)+)")
	codeBlock  = regexp.MustCompile("(?s)```sh\n(.*?)```")
	codeSpan   = regexp.MustCompile("`([^`\n]+)`")
	word       = regexp.MustCompile(`^[a-z][a-z-]*$`)
	flag       = regexp.MustCompile(`--[a-z][a-z-]*`)
)

// checkInvocation fails the test when a documented command, or a flag of it,
// does not exist.
func checkInvocation(t *testing.T, where, line string) {
	t.Helper()
	m := invocation.FindStringSubmatch(line)
	if m == nil {
		return
	}
	var path []string
	for _, w := range strings.Fields(m[1]) {
		if !word.MatchString(w) {
			break
		}
		path = append(path, w)
	}
	help := run(t, append(slices.Clone(path), "--help")...)
	if usage := "  modelwarden " + strings.Join(path, " "); !strings.Contains(help, usage+" ") && !strings.Contains(help, usage+"\n") {
		t.Errorf("%s: %s: there is no command %q", where, line, path)
	}
	for _, f := range flag.FindAllString(m[1], -1) {
		if !strings.Contains(help, f) {
			t.Errorf("%s: %s: there is no flag %s", where, line, f)
		}
	}
}

func TestTheCommandsOfTheReadmeExist(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range codeBlock.FindAllSubmatch(text, -1) {
		lines = append(lines, strings.Split(string(block[1]), "\n")...)
	}
	for _, span := range codeSpan.FindAllSubmatch(text, -1) {
		lines = append(lines, string(span[1]))
	}
	checked := 0
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "make "):
			target := strings.Fields(line)[1]
			if out, err := exec.Command(peer(t, "make"), "-C", "../..", "--dry-run", target).CombinedOutput(); err != nil {
				t.Errorf("make %s: %v\n%s", target, err, out)
			}
			checked++
		case invocation.MatchString(line):
			checkInvocation(t, "README", line)
			checked++
		}
	}
	if checked < 15 {
		t.Errorf("%d commands were found in the README: does this test still understand it?", checked)
	}
}

// listedCommand is a line of help that names a command.
var listedCommand = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) {2,}\S`)

func TestTheExamplesOfTheHelpExist(t *testing.T) {
	examples := 0
	var visit func(path ...string)
	visit = func(path ...string) {
		help := run(t, append(slices.Clone(path), "--help")...)
		body, _, _ := strings.Cut(help, "\nFlags:")
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, "  modelwarden ") && !strings.Contains(line, "[") {
				checkInvocation(t, strings.Join(path, " "), strings.TrimSpace(line))
				examples++
			}
		}
		for _, m := range listedCommand.FindAllStringSubmatch(body, -1) {
			if m[1] != "help" {
				visit(append(slices.Clone(path), m[1])...)
			}
		}
	}
	visit()
	if examples < 10 {
		t.Errorf("%d examples were found: does this test still understand the help?", examples)
	}
}
