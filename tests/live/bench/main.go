// Command bench measures gatewasm in the test cluster, from the outside: how long changes take, what goes wrong on the
// way, what controller and data plane need. It prints one table. Times depend on the machine and are printed beside
// their targets; what must never happen makes it fail.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"gatewasm/tests/live/rig"
)

type bench struct {
	*rig.Cluster
	table  table
	full   bool
	idle   time.Duration
	sample int
	flips  int
}

func main() {
	full := flag.Bool("full", false, "at least 30 samples of each; half an hour")
	idle := flag.Duration("idle", 0, "for how long nothing may be written while nothing changes (default 20s, full 10m)")
	only := flag.String("only", "", "measure these alone, of "+strings.Join(names(), ","))
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *full, *idle, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// The measurements in their order: each leaves as many routes as its name says, or none.
var measurements = []struct {
	name string
	do   func(*bench, context.Context) error
}{
	{"routes-10", func(b *bench, ctx context.Context) error { return b.among(ctx, 10) }},
	{"burst", (*bench).burst},
	{"routes-1000", func(b *bench, ctx context.Context) error { return b.among(ctx, 1000) }},
	{"routes-3000", func(b *bench, ctx context.Context) error { return b.among(ctx, 3000) }},
	{"resources", (*bench).resources},
	{"requests", (*bench).requests},
}

func names() []string {
	var names []string
	for _, it := range measurements {
		names = append(names, it.name)
	}
	return names
}

func run(ctx context.Context, full bool, idle time.Duration, only string) error {
	b := &bench{full: full, idle: idle, sample: 10, flips: 50}
	if full {
		b.sample, b.flips = 40, 200
	}
	if idle == 0 {
		b.idle = 20 * time.Second
		if full {
			b.idle = 10 * time.Minute
		}
	}
	var err error
	if b.Cluster, err = rig.Connect(ctx); err != nil {
		return err
	}
	for _, it := range measurements {
		if only != "" && !strings.Contains(","+only+",", ","+it.name+",") {
			continue
		}
		began := time.Now()
		if err := it.do(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", it.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s took %.0f s\n", it.name, time.Since(began).Seconds())
	}
	if err := b.DeleteRoutes(ctx); err != nil {
		return err
	}
	if err := b.Remove(ctx); err != nil {
		return err
	}
	return b.table.print(os.Stdout)
}

// present brings the number of routes that nobody asks for to count, and waits until the data plane has them.
func (b *bench) present(ctx context.Context, count int, backend func(int) string) error {
	if err := b.DeleteRoutes(ctx); err != nil {
		return err
	}
	if _, err := b.CreateRoutes(ctx, rig.Numbered("present", 0, count, backend)); err != nil {
		return err
	}
	if _, err := b.Until(ctx, count, 3*time.Minute); err != nil {
		return err
	}
	return wait(ctx, 3*time.Second)
}

// among measures changes of one route among so many others.
func (b *bench) among(ctx context.Context, count int) error {
	if err := b.present(ctx, count, rig.To("a")); err != nil {
		return err
	}
	if err := b.propagation(ctx, count); err != nil {
		return err
	}
	if count > 1000 {
		return nil
	}
	return b.flip(ctx, count)
}

func wait(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}
