package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A walk through a README: its commands, as they stand there, typed into one shell. What they write stays in a folder of
// the walk's own, which has the repository's manifests.
type walk struct {
	sections []section
	commands io.Writer
	output   *bufio.Reader
}

type section struct{ title, commands string }

// The line that the shell prints after each section's commands.
const done = "--- done ---"

// begin reads a README: a section begins with `## TITLE`, its commands stand between "```sh" and "```".
func begin(t *testing.T, readme string) *walk {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	walk := &walk{}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		for block := range strings.SplitSeq(rest, "```sh\n") {
			if commands, _, closed := strings.Cut(block, "```"); closed {
				walk.sections = append(walk.sections, section{title, commands})
			}
		}
	}
	folder := t.TempDir()
	manifests, err := filepath.Abs("manifests")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(manifests, folder+"/manifests"); err != nil {
		t.Fatal(err)
	}
	// It ends at the first command that fails.
	shell := exec.Command("bash", "-eu", "-o", "pipefail")
	shell.Dir = folder
	commands, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.Stderr = shell.Stdout
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		commands.Close()
		if err := shell.Wait(); err != nil {
			t.Error("the shell:", err)
		}
	})
	walk.commands, walk.output = commands, bufio.NewReader(output)
	return walk
}

// next runs the commands of the next section, which must have this title, and returns what they print.
func (w *walk) next(t *testing.T, title string) string {
	t.Helper()
	if len(w.sections) == 0 || w.sections[0].title != title {
		t.Fatalf("the next section is not %q: %v", title, w.sections)
	}
	commands := w.sections[0].commands
	w.sections = w.sections[1:]
	// Commands may read their input: they have none of the shell's.
	if _, err := fmt.Fprintf(w.commands, "{\n%s} </dev/null\necho '%s'\n", commands, done); err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	for {
		line, err := w.output.ReadString('\n')
		if strings.TrimSpace(line) == done {
			t.Logf("%s\n%s", title, &printed)
			return printed.String()
		}
		printed.WriteString(line)
		if err != nil {
			t.Fatalf("%s: %v after\n%s", title, err, &printed)
		}
	}
}

// end fails where there are sections that nobody asked for.
func (w *walk) end(t *testing.T) {
	t.Helper()
	if len(w.sections) > 0 {
		t.Fatalf("not walked: %v", w.sections)
	}
}
