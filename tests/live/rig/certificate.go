package rig

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SecretName is the Secret that the Gateway's listener "https" names.
const SecretName = "certificate"

// Secrets hold certificates.
var Secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// Authority issues certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority has a key of its own.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := of("authority", 1)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	bytes, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(bytes)
	return &Authority{certificate, key}, err
}

func of(name string, serial int64) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// Issue makes the data of a Secret with a new key, for a host.
func (a *Authority) Issue(host string, serial int64) (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.CreateCertificate(rand.Reader, of(host, serial), a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// NewTLSClient trusts the authority, asks the listener "https" for a host, and has a new connection for each request.
// See hears of the certificate of each.
func (c *Cluster) NewTLSClient(authority *Authority, host string, see func(serial int64)) *Client {
	pool := x509.NewCertPool()
	pool.AddCert(authority.certificate)
	address := net.JoinHostPort(c.Address, "443")
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{
			RootCAs: pool, ServerName: host,
			VerifyConnection: func(state tls.ConnectionState) error {
				see(state.PeerCertificates[0].SerialNumber.Int64())
				return nil
			},
		},
	}
	return &Client{http: &http.Client{Transport: transport, Timeout: 5 * time.Second}, url: "https://" + host}
}
