package main

import (
	"context"
	"fmt"
	"time"

	"gatewasm/tests/live/rig"
)

// resources measures what controller and data plane need with 1,000 routes to as many Services: their memory, their CPU
// at one change a second, and that nothing is written while nothing changes.
func (b *bench) resources(ctx context.Context) error {
	const count = 1000
	of := func(i int) string { return fmt.Sprintf("own-%d", i) }
	var names []string
	for i := range count {
		names = append(names, of(i))
	}
	if err := b.CreateServices(ctx, names); err != nil {
		return err
	}
	if err := b.present(ctx, count, of); err != nil {
		return err
	}
	controller, err := b.Controller(ctx)
	if err != nil {
		return err
	}
	envoy, agent, err := b.DataPlane(ctx)
	if err != nil {
		return err
	}
	processes := []rig.Process{controller, envoy, agent}
	before, err := cpu(processes)
	if err != nil {
		return err
	}
	changes := 15
	if b.full {
		changes = 60
	}
	began := time.Now()
	for i := range changes {
		path := fmt.Sprintf("/changed-%d", i)
		patch := fmt.Sprintf(`{"spec": {"rules": [{"matches": [{"path": {"value": %q}}], "backendRefs": [{"name": "a", "port": 80}]}]}}`, path)
		if err := b.Merge(ctx, rig.Routes, fmt.Sprintf("present-%d", i), patch); err != nil {
			return err
		}
		if err := wait(ctx, time.Until(began.Add(time.Duration(i+1)*time.Second))); err != nil {
			return err
		}
	}
	after, err := cpu(processes)
	if err != nil {
		return err
	}
	took := time.Since(began)
	var cores, memory [3]float64
	for i, process := range processes {
		cores[i] = (after[i] - before[i]).Seconds() / took.Seconds()
		if memory[i], err = process.Resident(); err != nil {
			return err
		}
	}
	with := fmt.Sprintf(" with %d routes and Services", count)
	b.table.add("controller's memory"+with, fmt.Sprintf("%.0f MiB", memory[0]), "60 MiB")
	b.table.add("data plane's memory"+with, fmt.Sprintf("Envoy %.0f, agent %.0f MiB", memory[1], memory[2]), "110 MiB")
	b.table.add("controller's CPU at one change a second"+with, fmt.Sprintf("%.3f cores", cores[0]), "0.05 cores")
	b.table.add("data plane's CPU at one change a second"+with, fmt.Sprintf("Envoy %.3f, agent %.3f cores", cores[1], cores[2]), "-")
	return b.quiet(ctx)
}

// quiet counts what is written while nothing changes.
func (b *bench) quiet(ctx context.Context) error {
	if err := wait(ctx, 5*time.Second); err != nil {
		return err
	}
	audit, err := b.Audit()
	if err != nil {
		return err
	}
	defer audit.Close()
	if err := wait(ctx, b.idle); err != nil {
		return err
	}
	writes, err := audit.Count(rig.Write.ByUs)
	if err != nil {
		return err
	}
	for _, write := range writes {
		fmt.Println("written while nothing changed:", write)
	}
	b.table.must(fmt.Sprintf("writes in %s without a change", b.idle), len(writes), 0)
	return nil
}

func cpu(processes []rig.Process) ([]time.Duration, error) {
	var times []time.Duration
	for _, process := range processes {
		time, err := process.CPU()
		if err != nil {
			return nil, err
		}
		times = append(times, time)
	}
	return times, nil
}
