package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gatewasm/tests/live/rig"
)

// requests measures what Envoy needs for a request: by the first and the last of 1,000 routes on one host, and by the
// last of 10 on another. The three take turns, so that what disturbs the machine disturbs them alike.
func (b *bench) requests(ctx context.Context) error {
	if err := b.DeleteRoutes(ctx); err != nil {
		return err
	}
	var routes []rig.Route
	on := func(host string, count int) {
		for i := range count {
			routes = append(routes, rig.Route{
				Name: fmt.Sprintf("%s-%d", host, i), Host: host + ".example", Path: fmt.Sprintf("/r-%d", i), Backend: "a",
			})
		}
	}
	on("few", 10)
	on("many", 1000)
	if _, err := b.CreateRoutes(ctx, routes); err != nil {
		return err
	}
	if _, err := b.Until(ctx, len(routes), 3*time.Minute); err != nil {
		return err
	}
	if err := wait(ctx, 3*time.Second); err != nil {
		return err
	}
	envoy, _, err := b.DataPlane(ctx)
	if err != nil {
		return err
	}
	asked := [][2]string{{"few.example", "/r-9"}, {"many.example", "/r-0"}, {"many.example", "/r-999"}}
	costs := make([][]float64, len(asked))
	rounds, each := 5, 2000
	if b.full {
		rounds, each = 15, 5000
	}
	client := b.NewClient(4)
	defer client.Close()
	// The first round is for connections and caches.
	for round := range rounds + 1 {
		for i, it := range asked {
			cost, err := costOf(client, envoy, it[0], it[1], each)
			if err != nil {
				return err
			}
			if round > 0 {
				costs[i] = append(costs[i], cost)
			}
		}
	}
	median := func(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }
	few := median(costs[0])
	var figures []string
	for _, costs := range costs {
		of := median(costs)
		figures = append(figures, fmt.Sprintf("%.0f us (%+.1f %%)", of, (of/few-1)*100))
	}
	b.table.add("Envoy's CPU per request: among 10 routes on the host, first of 1,000, last of 1,000",
		strings.Join(figures, ", "), "within 5 %")
	return nil
}

// costOf sends so many requests, four at a time, and returns the microseconds of Envoy's CPU for one.
func costOf(client *rig.Client, envoy rig.Process, host, path string, count int) (float64, error) {
	before, err := envoy.CPU()
	if err != nil {
		return 0, err
	}
	const atOnce = 4
	var group sync.WaitGroup
	failed := make(chan error, atOnce)
	for range atOnce {
		group.Go(func() {
			for range count / atOnce {
				answer, err := client.Get(host, path)
				if err != nil || answer.Status != http.StatusOK {
					failed <- fmt.Errorf("%s%s answers %d: %v", host, path, answer.Status, err)
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
	}
	after, err := envoy.CPU()
	return float64((after - before).Microseconds()) / float64(count), err
}
