package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"gatewasm/tests/live/rig"
)

// How often a new route is asked for.
const poll = 5 * time.Millisecond

// propagation measures the time from the API server's answer to the first answer by the new route, and from the answer
// to its deletion to the first 404.
func (b *bench) propagation(ctx context.Context, count int) error {
	var created, deleted []time.Duration
	others := 0
	for i := range b.sample {
		route := rig.Route{Name: fmt.Sprintf("new-%d", i), Path: "/", Backend: "a"}
		route.Host = route.Name + ".example"
		make := func() error { return b.Create(ctx, rig.Routes, route.Object()) }
		took, other, err := b.until(ctx, route.Host, http.StatusOK, make)
		if err != nil {
			return err
		}
		created, others = append(created, took), others+other
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		unmake := func() error { return b.Delete(ctx, rig.Routes, route.Name) }
		if took, other, err = b.until(ctx, route.Host, http.StatusNotFound, unmake); err != nil {
			return err
		}
		deleted, others = append(deleted, took), others+other
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	among := fmt.Sprintf("among %d routes", count)
	of := fmt.Sprintf(", p50 / p90 / p99 / max of %d", b.sample)
	b.table.add("create to first 200 "+among+of, spread(created), "50 / - / 150 ms")
	b.table.add("delete to first 404 "+among+of, spread(deleted), "50 / - / 150 ms")
	b.table.must("answers other than 200 and 404 "+among, others, 0)
	return nil
}

// until changes something while a host is asked, and returns how long after the change was taken the status came, and
// how many answers were neither 200 nor 404.
func (b *bench) until(ctx context.Context, host string, status int, change func() error) (time.Duration, int, error) {
	client := b.NewClient(1)
	defer client.Close()
	taken := make(chan time.Time, 1)
	failed := make(chan error, 1)
	go func() {
		if err := change(); err != nil {
			failed <- err
		}
		taken <- time.Now()
	}()
	others := 0
	next := time.NewTicker(poll)
	defer next.Stop()
	limit := time.After(time.Minute)
	for {
		answer, err := client.Get(host, "/")
		switch {
		case err != nil:
			others++
		case answer.Status == status:
			return answer.At.Sub(<-taken), others, nil
		case answer.Status != http.StatusOK && answer.Status != http.StatusNotFound:
			others++
		}
		select {
		case <-next.C:
		case err := <-failed:
			return 0, 0, err
		case <-limit:
			return 0, 0, fmt.Errorf("%s does not answer %d within a minute", host, status)
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
}
