package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// poll asks every 50 ms until it is so.
func poll(limit time.Duration, what string, ask func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		}
	}
}

// apiServerReady waits for /readyz to say ok.
func apiServerReady() error {
	pair, err := tls.LoadX509KeyPair(inPKI+"/admin.crt", inPKI+"/admin.key")
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(inPKI + "/ca.crt")
	if err != nil {
		return err
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: authorities}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 2 * time.Second}
	return poll(90*time.Second, "kube-apiserver", func() error {
		response, err := client.Get(apiServerURL + "/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %s", response.Status)
		}
		return nil
	})
}

// importImages puts every image onto the node: before the kubelet starts, for it can pull none.
func importImages() error {
	err := poll(30*time.Second, "containerd", func() error {
		connection, err := net.Dial("unix", "/run/containerd/containerd.sock")
		if err == nil {
			connection.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	archives, err := filepath.Glob(inImages + "/*.tar")
	if err != nil {
		return err
	}
	for _, archive := range archives {
		command := exec.Command("ctr", "images", "import", "--all-platforms", archive)
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("import %s: %w: %s", archive, err, output)
		}
	}
	return nil
}
