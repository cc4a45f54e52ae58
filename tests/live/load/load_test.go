package load

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What is done to one in a hundred requests is told, whatever it is.
func TestEveryFailureIsTold(t *testing.T) {
	var asked, failed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) % 200 {
		case 50:
			failed.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		case 150:
			failed.Add(1)
			panic(http.ErrAbortHandler)
		}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	defer server.Close()
	load := Start(server.Listener.Addr().String(), "http://example.com/", "http://example.com/slow")
	time.Sleep(3 * time.Second)
	result := load.Stop()
	if len(result.Failures) != int(failed.Load()) || failed.Load() < 4 {
		t.Errorf("%d of %d requests were failed; %s", failed.Load(), asked.Load(), result)
	}
	if result.Sent != int(asked.Load()) || result.Sent < 2*Rate {
		t.Errorf("%d requests arrived; %s", asked.Load(), result)
	}
	if text := result.String(); !strings.Contains(text, "503 Service Unavailable") || !strings.Contains(text, "EOF") {
		t.Error(text)
	}
	for _, kind := range kinds {
		if connections := result.Connections[kind.name]; connections == 0 {
			t.Errorf("no connection of kind %s; %s", kind.name, result)
		}
	}
}
