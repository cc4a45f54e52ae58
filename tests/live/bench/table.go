package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// table is what was found, line by line.
type table struct {
	lines  [][3]string
	faults []string
}

// add takes a figure that depends on the machine.
func (t *table) add(name, value, target string) {
	t.lines = append(t.lines, [3]string{name, value, target})
	fmt.Printf("%s: %s\n", name, value)
}

// must takes a count that has to be what it is said to be, on every machine.
func (t *table) must(name string, count, target int) {
	t.add(name, fmt.Sprint(count), fmt.Sprint(target))
	if count != target {
		t.faults = append(t.faults, fmt.Sprintf("%s: %d, not %d", name, count, target))
	}
}

func (t *table) print(to io.Writer) error {
	fmt.Fprint(to, "\n| Figure | Measured | Target |\n| --- | --- | --- |\n")
	for _, line := range t.lines {
		fmt.Fprintf(to, "| %s |\n", strings.Join(line[:], " | "))
	}
	if len(t.faults) > 0 {
		return fmt.Errorf("%s", strings.Join(t.faults, "; "))
	}
	return nil
}

// spread says where the middle and the ends of some times are.
func spread(times []time.Duration) string {
	sorted := slices.Sorted(slices.Values(times))
	at := func(share float64) int64 { return sorted[int(share*float64(len(sorted)-1)+0.5)].Milliseconds() }
	return fmt.Sprintf("%d / %d / %d / %d ms", at(0.5), at(0.9), at(0.99), at(1))
}
