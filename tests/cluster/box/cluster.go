package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

// Addresses, of the cluster's own network alone.
const (
	nodeName     = "node"
	nodeAddress  = "10.89.0.1"
	podRange     = "10.244.0.0/16"
	serviceRange = "10.96.0.0/16"
	// What the load balancer hands out.
	addressPool  = "10.98.0.0/24"
	apiAddress   = "10.96.0.1"
	apiServerURL = "https://" + nodeAddress + ":6443"
)

// Where things are inside, for every cluster alike: configuration files name these paths.
const (
	inRoot   = "/run/cluster"
	inBin    = inRoot + "/bin"
	inImages = inRoot + "/images"
	inState  = inRoot + "/state"
	inConfig = inState + "/config"
	inPKI    = inState + "/pki"
	inLog    = inState + "/log"
)

// cluster is where a cluster is on the machine outside.
type cluster struct {
	name string
	// All that it writes.
	state string
	// Programs and images: `bin` and `images` below.
	built string
}

func find() (cluster, error) {
	name := os.Getenv("GATEWASM_CLUSTER")
	if name == "" {
		name = "gatewasm"
	}
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`).MatchString(name) {
		return cluster{}, fmt.Errorf("GATEWASM_CLUSTER=%q: a name is up to 31 of a-z, 0-9 and -", name)
	}
	cache := os.Getenv("GATEWASM_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return cluster{}, err
		}
		cache = filepath.Join(home, ".cache/gatewasm")
	}
	program, err := os.Executable()
	if err != nil {
		return cluster{}, err
	}
	return cluster{
		name:  name,
		state: filepath.Join(cache, "cluster/state", name),
		built: filepath.Dir(filepath.Dir(program)),
	}, nil
}

func (c cluster) socket() string { return filepath.Join(c.state, "control.sock") }

// pid is the process whose end is the end of the cluster, or 0 where there is none: whoever answers on its socket.
func (c cluster) pid() int {
	connection, err := net.Dial("unix", c.socket())
	if err != nil {
		return 0
	}
	defer connection.Close()
	raw, err := connection.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(descriptor uintptr) {
		if peer, err := unix.GetsockoptUcred(int(descriptor), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid
}

// lock keeps two callers from starting and ending one cluster at the same time.
func (c cluster) lock() (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(c.state), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(c.state+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	return func() { file.Close() }, nil
}
