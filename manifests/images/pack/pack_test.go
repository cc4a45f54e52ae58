package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// pack makes an archive of this test's own program and of one text, and returns its bytes.
func pack(t *testing.T, names ...string) (file string, archive []byte) {
	t.Helper()
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	contents, err := gather(pairs{{program, "/usr/bin/program"}, {text, "/etc/text"}})
	if err != nil {
		t.Fatal(err)
	}
	image, err := assemble(contents, "/usr/bin/program", "65532:65532", pairs{{"key", "value"}})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(folder, "image.tar")
	if err := writeArchive(file, image, names); err != nil {
		t.Fatal(err)
	}
	archive, err = os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, archive
}

// entries are a tar's files by name.
func entries(t *testing.T, archive io.Reader) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if found[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSameFilesAreTheSameBytes(t *testing.T) {
	_, first := pack(t, "own/image:1")
	_, second := pack(t, "own/image:1")
	if !bytes.Equal(first, second) {
		t.Fatal("two archives of the same files differ")
	}
}

func TestNamesAreThoseThatContainerdAndDockerUse(t *testing.T) {
	_, archive := pack(t, "own/image:1", "registry.example/a/b:2")
	files := entries(t, bytes.NewReader(archive))
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 2 || index.Manifests[0].Digest != index.Manifests[1].Digest {
		t.Fatalf("expected two names of one image: %s", files["index.json"])
	}
	for i, expected := range []string{"docker.io/own/image:1", "registry.example/a/b:2"} {
		if its := index.Manifests[i].Annotations["io.containerd.image.name"]; its != expected {
			t.Errorf("name %d is %q, expected %q", i, its, expected)
		}
	}
	if !strings.Contains(string(files["manifest.json"]), `"RepoTags":["own/image:1","registry.example/a/b:2"]`) {
		t.Errorf("manifest.json: %s", files["manifest.json"])
	}
}

// Read by the library that crane reads with.
func TestTheImageHasItsFilesAndRunsAsNobody(t *testing.T) {
	file, _ := pack(t, "own/image:1")
	tag, err := name.NewTag("own/image:1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	its := config.Config
	if its.User != "65532:65532" || its.Entrypoint[0] != "/usr/bin/program" || its.Labels["key"] != "value" {
		t.Errorf("unexpected configuration: %+v", its)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	files := entries(t, content)
	for _, expected := range []string{"usr/bin/program", "usr/", "tmp/", "etc/passwd"} {
		if _, ok := files[expected]; !ok {
			t.Errorf("the layer has no %s", expected)
		}
	}
	if string(files["etc/text"]) != "hello" {
		t.Errorf("/etc/text is %q", files["etc/text"])
	}
}

func TestLibrariesOfAProgramComeAlong(t *testing.T) {
	found, err := libraries("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(found, " ")
	if !strings.Contains(all, "/ld-linux") || !strings.Contains(all, "/libc.so.6") {
		t.Fatalf("/bin/sh needs the loader and libc, found %s", all)
	}
}

func TestAFileThatIsNoProgramNeedsNothing(t *testing.T) {
	if found, err := libraries("/etc/passwd"); err != nil || len(found) != 0 {
		t.Fatalf("found %v (%v)", found, err)
	}
}
