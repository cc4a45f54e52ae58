package main

import (
	"fmt"
	"net"
	"net/rpc"
)

// Control is what the first process of the box does for those outside: remote procedures on the control socket.
type Control struct{ supervisor *supervisor }

// Status is what `status` shows.
type Status struct {
	// Whether every component was started once.
	Started    bool
	Components []ComponentStatus
}

// ComponentStatus is one line of it.
type ComponentStatus struct {
	Name    string
	Running bool
	// The process's id inside where it runs, else how it ended.
	Detail string
}

// Status lists all, in the order in which they start.
func (c *Control) Status(_ struct{}, status *Status) error {
	s := c.supervisor
	s.changed.L.Lock()
	defer s.changed.L.Unlock()
	status.Started = s.started
	for _, component := range s.components {
		its := ComponentStatus{Name: component.name, Detail: s.ended[component.name]}
		if pid := s.pids[component.name]; pid != 0 {
			its.Running, its.Detail = true, fmt.Sprintf("pid %d", pid)
		}
		status.Components = append(status.Components, its)
	}
	return nil
}

// Stop returns when the component has ended.
func (c *Control) Stop(name string, _ *struct{}) error {
	component, err := c.named(name)
	if err != nil {
		return err
	}
	return c.supervisor.stop(component)
}

// Start returns when the component serves.
func (c *Control) Start(name string, _ *struct{}) error {
	component, err := c.named(name)
	if err != nil {
		return err
	}
	if err := c.supervisor.start(component); err != nil || component.ready == nil {
		return err
	}
	return component.ready()
}

func (c *Control) named(name string) (component, error) {
	for _, component := range c.supervisor.components {
		if component.name == name {
			return component, nil
		}
	}
	return component{}, fmt.Errorf("there is no component %q", name)
}

// call asks the first process of the cluster's box.
func (c cluster) call(procedure string, argument, reply any) error {
	client, err := rpc.Dial("unix", c.socket())
	if err != nil {
		return fmt.Errorf("cluster %s is not up", c.name)
	}
	defer client.Close()
	return client.Call("Control."+procedure, argument, reply)
}

// listen answers on the control socket from now on, for as long as this process lives.
func (c cluster) listen(supervisor *supervisor) error {
	listener, err := net.Listen("unix", c.socket())
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(&Control{supervisor}); err != nil {
		return err
	}
	go server.Accept(listener)
	return nil
}

// control stops or starts components, one after the other.
func (c cluster) control(verb string, names []string) error {
	procedure := map[string]string{"stop": "Stop", "start": "Start"}[verb]
	for _, name := range names {
		if err := c.call(procedure, name, &struct{}{}); err != nil {
			return err
		}
	}
	return nil
}

// status prints what runs; it is an error if something does not.
func (c cluster) status() error {
	var status Status
	if err := c.call("Status", struct{}{}, &status); err != nil {
		return err
	}
	fmt.Printf("cluster %s is up: %s\n", c.name, c.state)
	var missing error
	for _, state := range status.Components {
		word := "runs"
		if !state.Running {
			word = "ended"
			missing = fmt.Errorf("%s does not run", state.Name)
		}
		fmt.Printf("  %-24s %-6s %s\n", state.Name, word, state.Detail)
	}
	return missing
}
