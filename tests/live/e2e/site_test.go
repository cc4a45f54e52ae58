package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"time"
)

// A site is where a Gateway's listener answers.
type site struct{ address string }

// Backends say which Service they stand behind.
var services = regexp.MustCompile(`"service": "([^"]+)"`)

// ask sends one request, on a connection of its own, and returns the Service that answers.
func (s site) ask(url, environment string) (string, error) {
	dialer := net.Dialer{Timeout: time.Second}
	transport := &http.Transport{DisableKeepAlives: true}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", s.address)
	}
	request, err := http.NewRequest(http.MethodGet, "http://"+url, nil)
	if err != nil {
		return "", err
	}
	if environment != "" {
		request.Header.Set("env", environment)
	}
	client := http.Client{Transport: transport, Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	service := services.FindSubmatch(body)
	if response.StatusCode != http.StatusOK || service == nil {
		return "", fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return string(service[1]), nil
}

func (s site) serves(url, environment, service string) error {
	answered, err := s.ask(url, environment)
	if err == nil && answered != service {
		err = fmt.Errorf("%s is answered by %s, expected %s", url, answered, service)
	}
	return err
}

// shareOf is the share of a Service among so many requests for foo, in percent.
func (s site) shareOf(service string, count int) (float64, error) {
	hits := 0
	for range count {
		answered, err := s.ask("foo.example.com/foo", "")
		if err != nil {
			return 0, err
		}
		if answered == service {
			hits++
		}
	}
	return 100 * float64(hits) / float64(count), nil
}
