package main

import (
	"embed"
	"os"
)

// What the components read, as it stands: every path and address in it is the same for every cluster.
//
//go:embed config
var config embed.FS

func writeConfig(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	entries, err := config.ReadDir("config")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		content, err := config.ReadFile("config/" + entry.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(folder+"/"+entry.Name(), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
