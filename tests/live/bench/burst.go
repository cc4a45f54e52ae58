package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"gatewasm/tests/live/rig"
)

// burst creates 1,000 routes as fast as the API server takes them.
func (b *bench) burst(ctx context.Context) error {
	const count = 1000
	if err := b.DeleteRoutes(ctx); err != nil {
		return err
	}
	audit, err := b.Audit()
	if err != nil {
		return err
	}
	defer audit.Close()
	routes := rig.Numbered("burst", 0, count, rig.To("a"))
	began := time.Now()
	last, err := b.CreateRoutes(ctx, routes)
	if err != nil {
		return err
	}
	serving := make(chan error, 1)
	var served time.Time
	go func() {
		// The last ones are created at the same time, in any order.
		client := b.NewClient(1)
		defer client.Close()
		serving <- rig.Eventually(ctx, 5*time.Minute, func() error {
			for _, route := range routes[count-20:] {
				answer, err := client.Get(route.Host, "/")
				if err != nil || answer.Status != http.StatusOK {
					return fmt.Errorf("%s answers %d: %v", route.Host, answer.Status, err)
				}
				served = answer.At
			}
			return nil
		})
	}()
	attached, err := b.Until(ctx, count, 5*time.Minute)
	if err != nil {
		return err
	}
	if err := <-serving; err != nil {
		return err
	}
	missing := 0
	client := b.NewClient(1)
	defer client.Close()
	for _, route := range routes {
		if answer, err := client.Get(route.Host, "/"); err != nil || answer.Status != http.StatusOK {
			missing++
		}
	}
	if err := wait(ctx, 3*time.Second); err != nil {
		return err
	}
	writes, err := audit.Count(func(write rig.Write) bool {
		return write.ByUs() && write.ObjectRef.Resource == "gateways" && write.ObjectRef.Subresource == "status"
	})
	if err != nil {
		return err
	}
	of := fmt.Sprintf("%d routes created in %.1f s: ", count, last.Sub(began).Seconds())
	b.table.add(of+"last one serves after", fmt.Sprintf("%.2f s", served.Sub(last).Seconds()), "1 s")
	b.table.add(of+"attachedRoutes right after", fmt.Sprintf("%.2f s", attached.Sub(last).Seconds()), "1 s")
	b.table.must(of+"not serving then", missing, 0)
	b.table.add(of+"writes of the Gateway's status", fmt.Sprint(len(writes)), "at most 20")
	if err := b.DeleteSet(ctx, "burst"); err != nil {
		return err
	}
	last = time.Now()
	if attached, err = b.Until(ctx, 0, 5*time.Minute); err != nil {
		return err
	}
	b.table.add("all of them deleted: attachedRoutes back to 0 after", fmt.Sprintf("%.2f s", attached.Sub(last).Seconds()), "1 s")
	return nil
}
