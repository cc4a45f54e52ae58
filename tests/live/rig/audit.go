package rig

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// AuditLog is where the test cluster writes what was written.
const AuditLog = "/run/cluster/state/log/audit.log"

// Audit reads what is written from now on.
type Audit struct {
	file   *os.File
	offset int64
}

// Write is one line of it.
type Write struct {
	Verb string
	User struct {
		Username string
		Extra    map[string][]string
	}
	// RequestReceivedTimestamp orders them.
	RequestReceivedTimestamp time.Time
	// ObjectRef names what was written.
	ObjectRef struct{ Resource, Subresource, Namespace, Name string }
	// ResponseStatus is what came of it.
	ResponseStatus struct{ Code int }
}

// Pod is the one whose token was used.
func (w Write) Pod() string {
	return strings.Join(w.User.Extra["authentication.kubernetes.io/pod-name"], "")
}

func (w Write) String() string {
	resource := w.ObjectRef.Resource
	if w.ObjectRef.Subresource != "" {
		resource += "/" + w.ObjectRef.Subresource
	}
	return fmt.Sprintf("%s %s %s/%s", w.Verb, resource, w.ObjectRef.Namespace, w.ObjectRef.Name)
}

// ByUs is whether the controller or an agent wrote it. Renewing the Lease does not count.
func (w Write) ByUs() bool {
	account := strings.TrimPrefix(w.User.Username, "system:serviceaccount:")
	ours := strings.HasPrefix(account, System+":") || strings.HasPrefix(account, Namespace+":gatewasm-")
	return ours && w.ObjectRef.Resource != "leases"
}

// Audit begins at the end of the log.
func (c *Cluster) Audit() (*Audit, error) {
	file, err := os.Open(AuditLog)
	if err != nil {
		return nil, err
	}
	offset, err := file.Seek(0, io.SeekEnd)
	return &Audit{file: file, offset: offset}, err
}

// Close ends it.
func (a *Audit) Close() { a.file.Close() }

// Count counts the writes since the beginning.
func (a *Audit) Count(which func(Write) bool) (writes []Write, err error) {
	if _, err := a.file.Seek(a.offset, io.SeekStart); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(a.file)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return writes, nil
		}
		if err != nil {
			return nil, err
		}
		var write Write
		if err := json.NewDecoder(bytes.NewReader(line)).Decode(&write); err != nil {
			return nil, fmt.Errorf("%s: %w", AuditLog, err)
		}
		if which(write) {
			writes = append(writes, write)
		}
	}
}
