package main

import (
	"archive/tar"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// writeArchive writes an OCI layout as one tar, in which each name is the image, and beside the layout the index that
// `docker load` and `crane push` look for. The file appears as a whole or not at all.
func writeArchive(file string, image v1.Image, names []string) error {
	folder, err := os.MkdirTemp("", "pack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	index, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	var familiar []string
	for _, name := range names {
		parsed, err := reference.ParseDockerRef(name)
		if err != nil {
			return err
		}
		tag := ""
		if tagged, ok := parsed.(reference.Tagged); ok {
			tag = tagged.Tag()
		}
		familiar = append(familiar, reference.FamiliarString(parsed))
		if err := index.AppendImage(image, layout.WithAnnotations(map[string]string{
			"io.containerd.image.name":          parsed.String(),
			"org.opencontainers.image.ref.name": tag,
		})); err != nil {
			return err
		}
	}
	if err := writeDockerIndex(filepath.Join(folder, "manifest.json"), image, familiar); err != nil {
		return err
	}
	if err := writeTar(file+".new", folder); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func writeDockerIndex(file string, image v1.Image, names []string) error {
	blob := func(hash v1.Hash) string { return "blobs/" + hash.Algorithm + "/" + hash.Hex }
	configuration, err := image.ConfigName()
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	var blobs []string
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		blobs = append(blobs, blob(digest))
	}
	encoded, err := json.Marshal([]any{map[string]any{
		"Config": blob(configuration), "RepoTags": names, "Layers": blobs,
	}})
	if err != nil {
		return err
	}
	return os.WriteFile(file, encoded, 0o644)
}

// writeTar packs a folder's files in the order of their names, without owners and times.
func writeTar(file, folder string) error {
	output, err := os.Create(file)
	if err != nil {
		return err
	}
	defer output.Close()
	writer := tar.NewWriter(output)
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
		if err := writer.WriteHeader(header); err != nil {
			return err
		}
		_, err = writer.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return output.Close()
}
