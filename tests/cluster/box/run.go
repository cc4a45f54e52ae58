package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Runs the arguments after the first, in the folder that the first names, from inside the box.
const executeVerb = "execute-inside"

// inside is a command in the cluster's namespaces and in the caller's folder.
func (c cluster) inside(arguments []string) *exec.Cmd {
	folder, err := os.Getwd()
	if err != nil {
		folder = "/"
	}
	entry := []string{"--target", strconv.Itoa(c.pid()), "--mount", "--net", "--pid", "--uts", "--ipc", "--",
		inBin + "/cluster", executeVerb, folder}
	return exec.Command("nsenter", append(entry, arguments...)...)
}

// run becomes a command inside.
func (c cluster) run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("run what?")
	}
	if c.pid() == 0 {
		return fmt.Errorf("cluster %s is not up", c.name)
	}
	command := c.inside(arguments)
	if command.Err != nil {
		return command.Err
	}
	return unix.Exec(command.Path, command.Args, os.Environ())
}

// execute is what run becomes once it is inside.
func execute(arguments []string) error {
	if err := os.Chdir(arguments[0]); err != nil {
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	for name, value := range environment() {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	program, err := exec.LookPath(arguments[1])
	if err != nil {
		return err
	}
	// Ends with its caller, who is nsenter and hands no signals on.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return err
	}
	return unix.Exec(program, arguments[1:], os.Environ())
}

// environment is what programs inside find set.
func environment() map[string]string {
	return map[string]string{
		"PATH":       inBin + ":" + os.Getenv("PATH"),
		"KUBECONFIG": inPKI + "/admin.kubeconfig",
		// Not in the home folder, which is the machine's.
		"KUBECACHEDIR":         "/run/kubectl",
		"CONTAINERD_ADDRESS":   "/run/containerd/containerd.sock",
		"CONTAINERD_NAMESPACE": "k8s.io",
	}
}

// load imports image archives into the node's containerd.
func (c cluster) load(archives []string) error {
	if c.pid() == 0 {
		return fmt.Errorf("cluster %s is not up", c.name)
	}
	for _, archive := range archives {
		path, err := filepath.Abs(archive)
		if err != nil {
			return err
		}
		command := c.inside([]string{"ctr", "images", "import", "--all-platforms", path})
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
		if err := command.Run(); err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
	}
	return nil
}
