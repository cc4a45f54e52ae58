package rig

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one of the node's.
type Process struct{ folder string }

// Controller is the process of the replica that leads.
func (c *Cluster) Controller(ctx context.Context) (Process, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return Process{}, err
	}
	return ControllerIn(leader)
}

// ControllerIn is the process of the controller in a pod of its.
func ControllerIn(pod string) (Process, error) { return find("/gatewasm controller", pod) }

// DataPlane are Envoy and agent of the Gateway's only pod.
func (c *Cluster) DataPlane(ctx context.Context) (envoy, agent Process, err error) {
	pod, err := c.Pod(ctx)
	if err != nil {
		return envoy, agent, err
	}
	if envoy, err = pod.Envoy(); err != nil {
		return envoy, agent, err
	}
	agent, err = pod.Agent()
	return envoy, agent, err
}

// find looks for a process by its command line, in the pod of this name.
func find(command, pod string) (Process, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return Process{}, err
	}
	for _, folder := range folders {
		line, _ := os.ReadFile(folder + "/cmdline")
		line = bytes.ReplaceAll(line, []byte{0}, []byte{' '})
		environment, _ := os.ReadFile(folder + "/environ")
		if bytes.Contains(line, []byte(command)) && bytes.Contains(environment, []byte("HOSTNAME="+pod+"\x00")) {
			return Process{folder}, nil
		}
	}
	return Process{}, fmt.Errorf("no process %q of pod %s on this node; is this run inside of it?", command, pod)
}

// Signal sends it a signal.
func (p Process) Signal(signal syscall.Signal) error {
	id, err := strconv.Atoi(filepath.Base(p.folder))
	if err != nil {
		return err
	}
	return syscall.Kill(id, signal)
}

// Path is where a file is that the process has at path.
func (p Process) Path(path string) string { return p.folder + "/root" + path }

func (p Process) String() string {
	line, _ := os.ReadFile(p.folder + "/comm")
	return fmt.Sprintf("process %s %s", filepath.Base(p.folder), bytes.TrimSpace(line))
}

// Resident is the memory that it has, in MiB.
func (p Process) Resident() (float64, error) {
	status, err := os.ReadFile(p.folder + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("%s/status has no VmRSS", p.folder)
}

// CPU is the time that its threads have run. Threads that have ended are left out: there are none in what is measured.
func (p Process) CPU() (time.Duration, error) {
	files, err := filepath.Glob(p.folder + "/task/*/schedstat")
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("%s has ended", p.folder)
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		nanoseconds, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		sum += time.Duration(nanoseconds)
	}
	return sum, nil
}
