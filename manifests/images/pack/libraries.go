package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Where shared libraries are on this machine. The loader is this machine's too: it looks in the same places in the image.
var libraryFolders = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
	"/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
	"/lib64", "/usr/lib64", "/lib", "/usr/lib",
}

// libraries are the loader and the shared libraries that a program needs, and those that they need. A static program,
// or a file that is no program, has none.
func libraries(program string) ([]string, error) {
	found := map[string]bool{}
	var paths []string
	var visit func(path string) error
	visit = func(path string) error {
		needed, interpreter, err := needs(path)
		if err != nil {
			return err
		}
		if interpreter != "" && !found[interpreter] {
			found[interpreter] = true
			paths = append(paths, interpreter)
		}
		for _, name := range needed {
			// The loader is a library too, and is known by its full path.
			if strings.HasPrefix(name, "ld-linux") {
				continue
			}
			library, err := find(name)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if !found[library] {
				found[library] = true
				paths = append(paths, library)
				if err := visit(library); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return paths, visit(program)
}

// needs reads what a program or library names: its shared libraries, and its loader.
func needs(path string) (libraries []string, interpreter string, err error) {
	file, err := elf.Open(path)
	// The end of the file comes before the end of a header in what is very short.
	if format := (*elf.FormatError)(nil); errors.As(err, &format) || errors.Is(err, io.EOF) {
		return nil, "", nil
	} else if err != nil {
		return nil, "", err
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			name := make([]byte, segment.Filesz)
			if _, err := segment.ReadAt(name, 0); err != nil {
				return nil, "", fmt.Errorf("%s: %w", path, err)
			}
			interpreter = strings.TrimRight(string(name), "\x00")
		}
	}
	libraries, err = file.ImportedLibraries()
	return libraries, interpreter, err
}

func find(name string) (string, error) {
	for _, folder := range libraryFolders {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("library %s is in none of %s", name, strings.Join(libraryFolders, ", "))
}
