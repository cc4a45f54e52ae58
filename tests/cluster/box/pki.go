package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority is the cluster's own certificate authority, and the folder that everything goes to.
type authority struct {
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// writePKI makes keys, certificates and kubeconfigs of one cluster: every component has an identity of its own, so that
// RBAC and the audit log tell them apart.
func writePKI(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	a := authority{folder: folder}
	var err error
	if a.key, err = a.writeKey("ca"); err != nil {
		return err
	}
	a.certificate, err = a.sign("ca", &a.key.PublicKey, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "cluster"},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	})
	if err != nil {
		return err
	}
	if err := a.serving("apiserver", "kube-apiserver",
		[]string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local"},
		[]string{"127.0.0.1", nodeAddress, apiAddress}); err != nil {
		return err
	}
	if err := a.serving("kubelet-server", nodeName, []string{nodeName}, []string{nodeAddress}); err != nil {
		return err
	}
	for _, client := range []struct{ name, user, group string }{
		{"admin", "admin", "system:masters"},
		{"apiserver-kubelet", "kube-apiserver", "system:masters"},
		{"front-proxy", "front-proxy", ""},
		{"kube-controller-manager", "system:kube-controller-manager", ""},
		{"kube-scheduler", "system:kube-scheduler", ""},
		{"kube-proxy", "system:kube-proxy", ""},
		{"kubelet", "system:node:" + nodeName, "system:nodes"},
		{"loadbalancer", "loadbalancer", "system:masters"},
	} {
		if err := a.client(client.name, client.user, client.group); err != nil {
			return err
		}
	}
	return a.serviceAccountKeys()
}

func (a authority) serving(name, subject string, names, addresses []string) error {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: subject},
		DNSNames:    names,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, address := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	key, err := a.writeKey(name)
	if err != nil {
		return err
	}
	_, err = a.sign(name, &key.PublicKey, template)
	return err
}

// client makes a client's certificate and its kubeconfig.
func (a authority) client(name, user, group string) error {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: user},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if group != "" {
		template.Subject.Organization = []string{group}
	}
	key, err := a.writeKey(name)
	if err != nil {
		return err
	}
	if _, err := a.sign(name, &key.PublicKey, template); err != nil {
		return err
	}
	parts := make([]any, 0, 4)
	parts = append(parts, apiServerURL)
	for _, file := range []string{"ca.crt", name + ".crt", name + ".key"} {
		content, err := os.ReadFile(filepath.Join(a.folder, file))
		if err != nil {
			return err
		}
		parts = append(parts, base64.StdEncoding.EncodeToString(content))
	}
	return os.WriteFile(filepath.Join(a.folder, name+".kubeconfig"), fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: cluster
contexts: [{name: cluster, context: {cluster: cluster, user: user}}]
clusters: [{name: cluster, cluster: {server: "%s", certificate-authority-data: "%s"}}]
users: [{name: user, user: {client-certificate-data: "%s", client-key-data: "%s"}}]
`, parts...), 0o600)
}

// serviceAccountKeys makes the pair that tokens of ServiceAccounts are signed and checked with.
func (a authority) serviceAccountKeys() error {
	key, err := a.writeKey("service-accounts")
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	return a.writePEM("service-accounts.pub", "PUBLIC KEY", public)
}

func (a authority) writeKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, a.writePEM(name+".key", "EC PRIVATE KEY", encoded)
}

// sign writes a certificate; the authority's own is signed by itself.
func (a authority) sign(name string, key *ecdsa.PublicKey, template *x509.Certificate) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	parent := a.certificate
	if parent == nil {
		parent = template
	}
	encoded, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		return nil, err
	}
	if err := a.writePEM(name+".crt", "CERTIFICATE", encoded); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(encoded)
}

func (a authority) writePEM(file, kind string, content []byte) error {
	encoded := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	return os.WriteFile(filepath.Join(a.folder, file), encoded, 0o600)
}
