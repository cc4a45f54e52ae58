package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// up starts the cluster and waits until it works. One that is up already is left as it is.
func (c cluster) up() error {
	if err := prerequisites(); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if pid := c.pid(); pid != 0 {
		fmt.Printf("cluster %s is up already\n", c.name)
		return nil
	}
	if err := c.remove(); err != nil {
		return err
	}
	began := time.Now()
	if err := c.start(); err != nil {
		return c.failed(err)
	}
	for _, step := range []struct {
		what      string
		arguments []string
	}{
		{"the cluster's DNS is applied", []string{"apply", "-f", inConfig + "/dns.yaml"}},
		{"the node is ready", []string{"wait", "--for=condition=Ready", "node/" + nodeName, "--timeout=90s"}},
		{"pods can be made", []string{"-n", "default", "wait", "--for=create", "serviceaccount/default", "--timeout=60s"}},
		{"DNS answers", []string{"-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s"}},
	} {
		if output, err := c.inside(append([]string{"kubectl"}, step.arguments...)).CombinedOutput(); err != nil {
			return c.failed(fmt.Errorf("not so: %s: %s", step.what, output))
		}
		fmt.Printf("%5.1f s  %s\n", time.Since(began).Seconds(), step.what)
	}
	fmt.Printf("cluster %s is up; its logs and audit.log are in %s\n", c.name, filepath.Join(c.state, "log"))
	return nil
}

// start makes the box and returns when its API server answers and its components are started.
func (c cluster) start() error {
	for _, folder := range []string{"log", "etcd", "kubelet", "containerd", "var-log"} {
		if err := os.MkdirAll(filepath.Join(c.state, folder), 0o755); err != nil {
			return err
		}
	}
	if err := writePKI(filepath.Join(c.state, "pki")); err != nil {
		return err
	}
	if err := writeConfig(filepath.Join(c.state, "config")); err != nil {
		return err
	}
	if err := makeCgroups(c.name); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(c.state, "log/box.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	box := exec.Command("/proc/self/exe", insideVerb)
	box.Dir = "/"
	box.Env = append(os.Environ(), "GATEWASM_CLUSTER="+c.name)
	box.Stdout, box.Stderr = log, log
	box.SysProcAttr = &unix.SysProcAttr{
		Setsid: true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS |
			unix.CLONE_NEWIPC,
	}
	if err := box.Start(); err != nil {
		return fmt.Errorf("namespaces cannot be made: %w; in a container, run it privileged", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- box.Wait() }()
	deadline := time.After(120 * time.Second)
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the box ended: %v", err)
		case <-deadline:
			return fmt.Errorf("the components did not start within 120 s")
		case <-time.After(50 * time.Millisecond):
			var status Status
			if err := c.call("Status", struct{}{}, &status); err == nil && status.Started {
				return nil
			}
		}
	}
}

// failed adds to an error what the box said, and leaves the logs to be read.
func (c cluster) failed(err error) error {
	said, _ := os.ReadFile(filepath.Join(c.state, "log/box.log"))
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	if len(lines) > 15 {
		lines = lines[len(lines)-15:]
	}
	return fmt.Errorf("%w\n%s\nlogs: %s; end what is left with down",
		err, strings.Join(lines, "\n"), filepath.Join(c.state, "log"))
}

// prerequisites says what the machine lacks.
func prerequisites() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("namespaces, mounts and cgroups need root; this is user %d", os.Geteuid())
	}
	for _, program := range []string{"nsenter", "ip", "nft", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing; tests/tools.sh cluster installs it", program)
		}
	}
	// Pods reach Services through a bridge, whose packets the node's rules must see.
	if _, err := os.Stat("/proc/sys/net/bridge"); err != nil {
		if output, err := exec.Command("modprobe", "br_netfilter").CombinedOutput(); err != nil {
			return fmt.Errorf("the kernel's module br_netfilter is missing: %s", output)
		}
	}
	return nil
}
