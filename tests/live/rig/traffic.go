package rig

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Answer is what came back.
type Answer struct {
	// Status is 0 where no answer came.
	Status int
	// Version is the header X-Version, that the route sets.
	Version string
	// Backend is the one that answered.
	Backend string
	// At is when it was there.
	At time.Time
	// Fault is why none came.
	Fault error
}

// Client sends requests through the Gateway on connections that are kept.
type Client struct {
	http *http.Client
	url  string
}

// NewClient has at most so many connections.
func (c *Cluster) NewClient(connections int) *Client {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConnsPerHost: connections,
		MaxConnsPerHost:     connections,
		DisableCompression:  true,
	}
	return &Client{http: &http.Client{Transport: transport, Timeout: 5 * time.Second}, url: "http://" + c.Address}
}

// Close closes the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get asks a host for a path.
func (c *Client) Get(host, path string) (Answer, error) {
	request, err := http.NewRequest(http.MethodGet, c.url+path, nil)
	if err != nil {
		return Answer{}, err
	}
	request.Host = host
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{At: time.Now()}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	answer := Answer{Status: response.StatusCode, Version: response.Header.Get("X-Version"), At: time.Now()}
	if err != nil || answer.Status != http.StatusOK {
		return answer, err
	}
	var echo struct{ Service string }
	err = json.Unmarshal(body, &echo)
	answer.Backend = echo.Service
	return answer, err
}

// At is the same cluster, where the Gateway is asked at another address: of a pod of its, in the place of its Service's.
func (c *Cluster) At(address string) *Cluster {
	other := *c
	other.Address = address
	return &other
}

// Get asks on a connection of its own.
func (c *Cluster) Get(host, path string) (Answer, error) {
	client := c.NewClient(1)
	defer client.Close()
	return client.Get(host, path)
}

// Load asks one host after the other, so many times a second until the context ends, whether or not earlier requests were
// answered.
func (c *Client) Load(ctx context.Context, perSecond int, hosts []string, path string, take func(Answer)) {
	var group sync.WaitGroup
	var lock sync.Mutex
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for next := 0; ; next++ {
		select {
		case <-ctx.Done():
			group.Wait()
			return
		case <-tick.C:
			group.Go(func() {
				answer, err := c.Get(hosts[next%len(hosts)], path)
				if err != nil {
					answer.Status, answer.Fault = 0, err
				}
				lock.Lock()
				defer lock.Unlock()
				take(answer)
			})
		}
	}
}
