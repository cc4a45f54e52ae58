package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// down ends the cluster and removes all that it wrote. Where there is none it says so.
func (c cluster) down() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root; this is user %d", os.Geteuid())
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	pid := c.pid()
	if pid != 0 {
		if err := end(pid); err != nil {
			return err
		}
	}
	if err := c.remove(); err != nil {
		return err
	}
	if pid == 0 {
		fmt.Printf("cluster %s was not up\n", c.name)
	} else {
		fmt.Printf("cluster %s is down\n", c.name)
	}
	return nil
}

// end kills the first process of the cluster's PID namespace, with which all others go, and waits for that. Mounts,
// links and packet rules go with the namespaces.
func end(pid int) error {
	descriptor, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	defer unix.Close(descriptor)
	if err := unix.PidfdSendSignal(descriptor, unix.SIGKILL, nil, 0); err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		events := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}
		if ready, err := unix.Poll(events, 1000); ready == 1 && err == nil {
			return nil
		}
	}
	return fmt.Errorf("process %d did not end within 30 s", pid)
}

// remove takes away what processes that ended have left on the machine: cgroups and files.
func (c cluster) remove() error {
	if err := removeCgroups(c.name); err != nil {
		return err
	}
	return os.RemoveAll(c.state)
}
