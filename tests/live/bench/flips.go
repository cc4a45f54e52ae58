package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"gatewasm/tests/live/rig"
)

const (
	flipEvery = 200 * time.Millisecond
	flipLoad  = 200
	flipHost  = "flip.example"
)

// flip changes a route's backend and response header together, again and again under load. Version 2n goes to "a" and
// version 2n+1 to "b": an answer that says otherwise is of two versions at once.
func (b *bench) flip(ctx context.Context, count int) error {
	backend := func(version int) string { return []string{"a", "b"}[version%2] }
	route := rig.Route{Name: "flip", Host: flipHost, Path: "/", Backend: "a"}.Object()
	route["spec"].(map[string]any)["rules"] = []any{rig.Rule("/", backend(0), "0")}
	if err := b.Create(ctx, rig.Routes, route); err != nil {
		return err
	}
	err := rig.Eventually(ctx, 30*time.Second, func() error {
		answer, err := b.Get(flipHost, "/")
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("%s answers %d", flipHost, answer.Status)
		}
		return err
	})
	if err != nil {
		return err
	}

	client := b.NewClient(16)
	defer client.Close()
	requests, failed, mixed := 0, map[int]int{}, 0
	seen := map[int]bool{}
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.Load(loading, flipLoad, []string{flipHost}, "/", func(answer rig.Answer) {
			requests++
			version, err := strconv.Atoi(answer.Version)
			switch {
			case answer.Status != http.StatusOK || err != nil:
				failed[answer.Status]++
			case answer.Backend != backend(version):
				mixed++
			default:
				seen[version] = true
			}
		})
	}()
	tick := time.NewTicker(flipEvery)
	defer tick.Stop()
	for version := 1; version <= b.flips && err == nil; version++ {
		<-tick.C
		rules := []any{rig.Rule("/", backend(version), strconv.Itoa(version))}
		patch, _ := json.Marshal(map[string]any{"spec": map[string]any{"rules": rules}})
		err = b.Merge(ctx, rig.Routes, "flip", string(patch))
	}
	waited := wait(ctx, 2*time.Second)
	stop()
	<-done
	if err != nil {
		return err
	}
	if waited != nil {
		return waited
	}
	delete(seen, 0)
	of := fmt.Sprintf("%d flips every %s among %d routes, %d requests: ", b.flips, flipEvery, count, requests)
	b.table.must(of+"not 200", total(failed), 0)
	b.table.must(of+"of two versions at once", mixed, 0)
	b.table.must(of+"flips seen", len(seen), b.flips)
	return b.Delete(ctx, rig.Routes, "flip")
}

// total says which statuses there were, beside how many.
func total(statuses map[int]int) int {
	sum := 0
	for status, count := range statuses {
		fmt.Printf("answered %d: %d times\n", status, count)
		sum += count
	}
	return sum
}
