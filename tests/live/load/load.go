// Package load sends requests at a steady rate, as clients of several kinds, and tells of each that failed. It knows
// nothing of what it asks; a failure is whatever a client would notice: another status than 200, or none.
package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"
)

// A kind of client. Together they send 200 requests a second, whoever of a kind is free the next of its kind's.
type kind struct {
	name    string
	clients int
	// Between two requests of the kind.
	every time.Duration
	// Whether a client keeps its one connection.
	keeps bool
	http2 bool
	// Whether it asks for the URL of slow answers.
	slow bool
}

var kinds = []kind{
	{name: "new connection", clients: 100, every: 10 * time.Millisecond},
	{name: "kept connection", clients: 40, every: 12500 * time.Microsecond, keeps: true},
	{name: "HTTP/2", clients: 10, every: 50 * time.Millisecond, keeps: true, http2: true},
	// Each in its turn, every 3 s: a connection that is idle most of the time has to be told, too, before it ends.
	{name: "seldom used connection", clients: 4, every: 750 * time.Millisecond, keeps: true},
	{name: "slow answer", clients: 10, every: 2 * time.Second, slow: true},
}

// Rate is how many requests a second are sent, where the machine is fast enough.
const Rate = 200

// A client does not wait longer, for a connection or an answer.
const limit = 20 * time.Second

// A Failure is one request that did not get the answer 200.
type Failure struct {
	At   time.Time
	Took time.Duration
	Kind string
	// The number of this request on its connection; 0 where there was none.
	Nth  int
	What string
}

func (f Failure) String() string {
	return fmt.Sprintf("%s %s, request %d on it, after %s: %s",
		f.At.Format("15:04:05.000"), f.Kind, f.Nth, f.Took.Round(time.Millisecond), f.What)
}

// A Result is what came of all requests.
type Result struct {
	Sent        int
	Connections map[string]int
	// But for those that are meant to be slow.
	Slowest time.Duration
	// From the first to the last that was sent.
	Took     time.Duration
	Failures []Failure
}

func (r Result) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d requests in %s, %d failed, slowest %s; connections:", r.Sent,
		r.Took.Round(time.Second/10), len(r.Failures), r.Slowest.Round(time.Millisecond))
	for _, kind := range slices.Sorted(maps.Keys(r.Connections)) {
		fmt.Fprintf(&text, " %d %s;", r.Connections[kind], kind)
	}
	for i, failure := range r.Failures {
		if i == 50 {
			fmt.Fprintf(&text, "\n  and %d more", len(r.Failures)-i)
			break
		}
		fmt.Fprintf(&text, "\n  %s", failure)
	}
	return text.String()
}

// A Load is under way until it is stopped.
type Load struct {
	address, url, slow string
	began              time.Time
	stop               context.CancelFunc
	clients            sync.WaitGroup
	lock               sync.Mutex
	result             Result
}

// Start sends requests for a URL to an address, whatever its host is, and some for a URL that is answered slowly.
func Start(address, url, slow string) *Load {
	running, stop := context.WithCancel(context.Background())
	load := &Load{address: address, url: url, slow: slow, began: time.Now(), stop: stop}
	load.result.Connections = map[string]int{}
	for _, kind := range kinds {
		turns := make(chan struct{}, 1000)
		load.clients.Go(func() { pace(running, kind.every, turns) })
		for range kind.clients {
			load.clients.Go(func() { load.client(kind, turns) })
		}
	}
	return load
}

// Stop ends it, and returns what came of it. Every request that was sent gets its time.
func (l *Load) Stop() Result {
	l.stop()
	took := time.Since(l.began)
	l.clients.Wait()
	l.result.Took = took
	return l.result
}

// pace hands out a turn each interval, and those that it was late for as well.
func pace(running context.Context, every time.Duration, turns chan<- struct{}) {
	defer close(turns)
	for next := time.Now(); ; next = next.Add(every) {
		select {
		case <-running.Done():
			return
		case <-time.After(time.Until(next)):
			turns <- struct{}{}
		}
	}
}

func (l *Load) client(kind kind, turns <-chan struct{}) {
	transport := &http.Transport{DisableKeepAlives: !kind.keeps, MaxConnsPerHost: 1, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!kind.http2)
	transport.Protocols.SetUnencryptedHTTP2(kind.http2)
	dialer := net.Dialer{Timeout: limit}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", l.address)
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: limit}
	url := l.url
	if kind.slow {
		url = l.slow
	}
	nth := 0
	for range turns {
		began := time.Now()
		err := request(client, url, func(reused bool) {
			if !reused {
				nth = 0
			}
			nth++
		})
		l.note(kind, Failure{At: began, Took: time.Since(began), Kind: kind.name, Nth: nth}, err)
	}
}

// request sends one. It is a POST, which Go's client does not send a second time when its connection ends under it.
func request(client *http.Client, url string, connected func(reused bool)) error {
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { connected(info.Reused) }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace),
		http.MethodPost, url, bytes.NewReader([]byte("load")))
	if err != nil {
		return err
	}
	// Without it, what was not sent at all could be sent again.
	request.GetBody = nil
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", response.Status, body)
	}
	return err
}

func (l *Load) note(kind kind, request Failure, err error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.result.Sent++
	if !kind.slow {
		l.result.Slowest = max(l.result.Slowest, request.Took)
	}
	if request.Nth == 1 {
		l.result.Connections[request.Kind]++
	}
	if err != nil {
		request.What = err.Error()
		l.result.Failures = append(l.result.Failures, request)
	}
}
