package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Runs the program as the first process of the box.
const insideVerb = "first-process-inside"

// inside sets up mounts and network of the box, starts every component, and then waits for those that end. It returns
// only where that fails.
func inside() error {
	c, err := find()
	if err != nil {
		return err
	}
	// First of all: whoever answers here is what `down` ends.
	supervisor := newSupervisor(components(c.name))
	if err := c.listen(supervisor); err != nil {
		return err
	}
	if err := setMounts(c); err != nil {
		return err
	}
	if err := hideSysctls(); err != nil {
		return err
	}
	if err := setNetwork(); err != nil {
		return err
	}
	for name, value := range environment() {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	if err := supervisor.startAll(); err != nil {
		return err
	}
	supervisor.reapForever()
	return nil
}

// setMounts gives the box a /run, /var/lib and /var/log of its own, and puts what it needs of the machine below /run.
// None of these mounts reaches the machine outside: the namespace was made private.
func setMounts(c cluster) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts made private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return err
	}
	// A folder of its own first: afterwards, nothing that lies below /run or /var can be reached.
	staging, err := os.MkdirTemp("", "cluster-")
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", staging, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", staging, err)
	}
	for outer, inner := range map[string]string{
		filepath.Join(c.built, "bin"):    inBin,
		filepath.Join(c.built, "images"): inImages,
		c.state:                          inState,
	} {
		target := staging + strings.TrimPrefix(inner, "/run")
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(outer, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s to %s: %w", outer, inner, err)
		}
	}
	if err := unix.Mount(staging, "/run", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if err := os.Remove(staging); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/var/lib", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /var/lib: %w", err)
	}
	// The kubelet makes folders here, wherever its root is.
	for _, folder := range []string{"/run/netns", "/run/lock", "/var/lib/kubelet", "/var/lib/cni"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount(inState+"/var-log", "/var/log", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount /var/log: %w", err)
	}
	// From here on shared with the mount namespaces of pods, as the kubelet and containerd expect.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("mounts made shared: %w", err)
	}
	return os.WriteFile("/run/resolv.conf", []byte("nameserver 127.0.0.1\n"), 0o644)
}

// hideSysctls covers settings that are the whole machine's and that the kubelet writes: it finds files that already
// say what it wants, and leaves the machine's own alone.
func hideSysctls() error {
	for name, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	} {
		cover := filepath.Join(inRoot, "sysctl", name)
		if err := os.MkdirAll(filepath.Dir(cover), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(cover, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(cover, "/proc/sys/"+name, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover /proc/sys/%s: %w", name, err)
		}
	}
	return nil
}

// setNetwork makes loopback and a pair of links that leads nowhere, which bears the node's address. There is no
// default route; Services and the load balancer's addresses have one each, without which a connection from the node to
// them ends before the node's packet rules see it.
func setNetwork() error {
	for _, line := range []string{
		"link set lo up",
		"link add node0 type veth peer name node1",
		"address add " + nodeAddress + "/24 dev node0",
		"link set node0 up",
		"link set node1 up",
		"route add " + serviceRange + " dev node0",
		"route add " + addressPool + " dev node0",
	} {
		if output, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, output)
		}
	}
	for name, value := range map[string]string{
		"ipv4/ip_forward":                 "1",
		"bridge/bridge-nf-call-iptables":  "1",
		"ipv4/ip_unprivileged_port_start": "0",
	} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
			return err
		}
	}
	return nil
}
