package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const cgroupFolder = "/sys/fs/cgroup"

// cgroupRoot is below which cgroup the node's pods are.
func cgroupRoot(name string) string { return "/cluster-" + name }

// hierarchies are the places where cgroups are mounted, by version. With any of version 1, the one of version 2 has no
// controllers; containerd's runtime makes groups there nevertheless.
func hierarchies() (version1, version2 []string, err error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[1], cgroupFolder) {
			continue
		}
		switch fields[2] {
		case "cgroup":
			version1 = append(version1, fields[1])
		case "cgroup2":
			version2 = append(version2, fields[1])
		}
	}
	return version1, version2, nil
}

// makeCgroups makes the root of the node's cgroups, which the kubelet expects to be there.
func makeCgroups(name string) error {
	version1, _, err := hierarchies()
	if err != nil {
		return err
	}
	if len(version1) == 0 {
		return makeCgroup2(name)
	}
	for _, folder := range version1 {
		root := folder + cgroupRoot(name)
		if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return cgroupsMissing(err)
		}
		// A new cpuset is empty, and takes no process before it says on which processors.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if all, err := os.ReadFile(filepath.Join(folder, file)); err == nil {
				if err := os.WriteFile(filepath.Join(root, file), all, 0o644); err != nil {
					return cgroupsMissing(err)
				}
			}
		}
	}
	return nil
}

func makeCgroup2(name string) error {
	available, err := os.ReadFile(cgroupFolder + "/cgroup.controllers")
	if err != nil {
		return cgroupsMissing(err)
	}
	root := cgroupFolder + cgroupRoot(name)
	if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return cgroupsMissing(err)
	}
	for _, controller := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !strings.Contains(" "+strings.TrimSpace(string(available))+" ", " "+controller+" ") {
			return cgroupsMissing(fmt.Errorf("no controller %s", controller))
		}
		for _, folder := range []string{cgroupFolder, root} {
			if err := os.WriteFile(folder+"/cgroup.subtree_control", []byte("+"+controller), 0o644); err != nil {
				return cgroupsMissing(err)
			}
		}
	}
	return nil
}

func cgroupsMissing(err error) error {
	return fmt.Errorf("cgroups that root can write below %s are missing: %w; in a container, run it privileged",
		cgroupFolder, err)
}

// removeCgroups removes the root of the node's cgroups and all below, which is possible once their processes are gone.
func removeCgroups(name string) error {
	version1, version2, err := hierarchies()
	if err != nil {
		return err
	}
	for _, folder := range append(version1, version2...) {
		root := folder + cgroupRoot(name)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			err := removeTree(root)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("cgroup %s does not go away: %w", root, err)
			}
		}
	}
	return nil
}

// removeTree removes folders alone, the innermost first: the files of cgroups are the kernel's.
func removeTree(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(folder)
}
