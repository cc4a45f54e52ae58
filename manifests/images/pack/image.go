package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// content is a file of the image.
type content struct {
	mode  int64
	bytes []byte
}

// gather reads files and the libraries that they need; the keys are paths in the image.
func gather(files pairs) (map[string]content, error) {
	contents := map[string]content{
		"/etc/passwd": {0o644, []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		"/etc/group":  {0o644, []byte("root:x:0:\nnonroot:x:65532:\n")},
		// Where the C library looks for names.
		"/etc/nsswitch.conf": {0o644, []byte("hosts: files dns\n")},
	}
	add := func(source, target string) error {
		bytes, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		information, err := os.Stat(source)
		if err != nil {
			return err
		}
		mode := int64(0o644)
		if information.Mode()&0o111 != 0 {
			mode = 0o755
		}
		contents[target] = content{mode, bytes}
		return nil
	}
	for _, file := range files {
		source, target := file[0], file[1]
		if !path.IsAbs(target) || path.Clean(target) != target {
			return nil, fmt.Errorf("%s: %q is not a plain absolute path", source, target)
		}
		if err := add(source, target); err != nil {
			return nil, err
		}
		needed, err := libraries(source)
		if err != nil {
			return nil, err
		}
		for _, library := range needed {
			if err := add(library, library); err != nil {
				return nil, err
			}
		}
	}
	return contents, nil
}

// assemble makes an image of one layer. It bears no time: the same files are the same image.
func assemble(contents map[string]content, entrypoint, user string, labels pairs) (v1.Image, error) {
	if _, ok := contents[entrypoint]; !ok {
		return nil, fmt.Errorf("the entry point %s is not one of the files", entrypoint)
	}
	files, err := layer(contents)
	if err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }
	compressed, err := tarball.LayerFromOpener(opener,
		tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, compressed); err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{User: user, Entrypoint: []string{entrypoint}, WorkingDir: "/", Labels: map[string]string{}}
	for _, label := range labels {
		file.Config.Labels[label[0]] = label[1]
	}
	return mutate.ConfigFile(image, file)
}

// layer is a tar of the files, of the folders above them, and of a /tmp.
func layer(contents map[string]content) ([]byte, error) {
	folders := map[string]int64{"/tmp": 0o1777}
	var names []string
	for name := range contents {
		names = append(names, name)
		for folder := path.Dir(name); folder != "/"; folder = path.Dir(folder) {
			if _, known := folders[folder]; !known {
				folders[folder] = 0o755
			}
		}
	}
	for folder := range folders {
		names = append(names, folder)
	}
	sort.Strings(names)
	var written bytes.Buffer
	writer := tar.NewWriter(&written)
	for _, name := range names {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/")}
		if mode, folder := folders[name]; folder {
			header.Typeflag, header.Name, header.Mode = tar.TypeDir, header.Name+"/", mode
		} else {
			header.Mode, header.Size = contents[name].mode, int64(len(contents[name].bytes))
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(contents[name].bytes); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return written.Bytes(), nil
}
