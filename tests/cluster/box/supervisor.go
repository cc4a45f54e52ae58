package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor starts, stops and reaps: it is the first process of the box. A component that ends by itself is not
// started again, so that a test that kills one decides what happens next.
type supervisor struct {
	components []component
	changed    *sync.Cond
	// By name: the process's id inside, or 0; and how it ended.
	pids  map[string]int
	ended map[string]string
	// Whether all of them were started once.
	started bool
}

func newSupervisor(components []component) *supervisor {
	return &supervisor{
		components: components,
		changed:    sync.NewCond(&sync.Mutex{}),
		pids:       map[string]int{},
		ended:      map[string]string{},
	}
}

// startAll starts the components in order. Those that take time to serve do so beside each other, as long as they are
// neighbours in the list.
func (s *supervisor) startAll() error {
	var waiting []chan error
	settle := func() error {
		for _, done := range waiting {
			if err := <-done; err != nil {
				return err
			}
		}
		waiting = nil
		return nil
	}
	for _, component := range s.components {
		if component.ready == nil {
			if err := settle(); err != nil {
				return err
			}
		}
		if err := s.start(component); err != nil {
			return err
		}
		if component.ready != nil {
			done := make(chan error, 1)
			go func() { done <- component.ready() }()
			waiting = append(waiting, done)
		}
	}
	if err := settle(); err != nil {
		return err
	}
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	s.started = true
	return nil
}

func (s *supervisor) start(component component) error {
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	if s.pids[component.name] != 0 {
		return nil
	}
	output, err := os.OpenFile(inLog+"/"+component.name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer output.Close()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer nothing.Close()
	process, err := os.StartProcess(component.command[0], component.command, &os.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []*os.File{nothing, output, output},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", component.name, err)
	}
	s.pids[component.name] = process.Pid
	log.Printf("%s started", component.name)
	// Reaped by number, together with orphans of pods.
	return process.Release()
}

// stop asks a component to end, and after 5 s makes it: kube-apiserver would wait for its clients.
func (s *supervisor) stop(component component) error {
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	pid := s.pids[component.name]
	if pid == 0 {
		return nil
	}
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", component.name, err)
	}
	forced := time.AfterFunc(5*time.Second, func() { _ = unix.Kill(pid, unix.SIGKILL) })
	defer forced.Stop()
	for s.pids[component.name] == pid {
		s.changed.Wait()
	}
	return nil
}

// reapForever takes note of everything that ends. Only once all is started: until then, the programs that are run on the
// way are waited for by who runs them.
func (s *supervisor) reapForever() {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	for s.reap(); ; s.reap() {
		<-children
	}
}

func (s *supervisor) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		s.changed.L.Lock()
		for name, its := range s.pids {
			if its == pid {
				s.pids[name], s.ended[name] = 0, howItEnded(status)
				log.Printf("%s ended: %s", name, s.ended[name])
				s.changed.Broadcast()
			}
		}
		s.changed.L.Unlock()
	}
}

func howItEnded(status unix.WaitStatus) string {
	if status.Signaled() {
		return "killed by signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}
