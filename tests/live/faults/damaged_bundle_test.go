package faults

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gatewasm/tests/live/rig"
)

const (
	damagedPart = "routes-0"
	// How long an agent goes on reading before it says what is wrong.
	saidWithin = 20 * time.Second
)

// What an agent is given: the part that the manifest names is text, the one before it old. Nothing is no part at all.
var damages = []struct {
	name   string
	damage func(text, old string) string
	why    string
}{
	{"missing", func(_, _ string) string { return "" }, "part routes-0 is missing"},
	{"truncated", func(text, _ string) string { return text[:len(text)/2] }, "part routes-0 is not the one"},
	{"bit-flipped", flipped, "part routes-0 is not the one"},
	{"older", func(_, old string) string { return old }, "part routes-0 is not the one"},
}

// flipped has one bit of one letter in its middle turned over.
func flipped(text, _ string) string {
	bytes := []byte(text)
	bytes[strings.Index(text, goodHost)] ^= 1
	return string(bytes)
}

// Bundles are written by hand while no controller runs: whole ones are taken, so that it is known that the others are
// refused for what is wrong with them.
func TestADamagedBundleIsNotTaken(t *testing.T) {
	check := undisturbed(t)
	text, err := cluster.PartText(t.Context(), damagedPart)
	must(t, err)
	last, err := cluster.Bundle(t.Context())
	must(t, err)
	// What is made by hand is still the Gateway's: what is not, the controller would leave alone.
	found, err := cluster.Object(t.Context(), rig.ConfigMaps, cluster.Manifest())
	must(t, err)
	labels, owners := found.GetLabels(), found.GetOwnerReferences()
	writePart := func(t *testing.T, part, text string) {
		t.Helper()
		object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
		object.SetName(cluster.Part(part))
		object.SetLabels(labels)
		object.SetOwnerReferences(owners)
		data := map[string]any{part + ".json": text}
		object.Object["data"] = data
		if cluster.Create(t.Context(), rig.ConfigMaps, object.Object) != nil {
			must(t, cluster.Merge(t.Context(), rig.ConfigMaps, cluster.Part(part), patch(t, "data", data)))
		}
	}
	t.Cleanup(func() {
		if err := cluster.Controllers(context.Background(), 2); err != nil {
			t.Error(err)
		}
	})
	must(t, cluster.Controllers(t.Context(), 0))
	pod, err := cluster.Pod(t.Context())
	must(t, err)
	// Past its Service, which does not send anything to a pod while a container of its starts again.
	load(t, at(cluster, pod).NewClient(8), goodHost)
	version := "of-good"
	for i, it := range damages {
		next := fmt.Sprintf("by-hand-%d", i)
		whole := strings.ReplaceAll(text, version, next)
		last.Counter++
		last.Parts[damagedPart] = digest(whole)
		if part := it.damage(whole, text); part == "" {
			must(t, cluster.Delete(t.Context(), rig.ConfigMaps, cluster.Part(damagedPart)))
		} else {
			writePart(t, damagedPart, part)
		}
		manifest := manifestOf(t, last)
		writePart(t, "manifest", manifest)
		refused(t, pod, it.name, fmt.Sprintf("bundle %d: %s", last.Counter, it.why), version)
		if i == 0 {
			// A new agent finds the same, and what the last one kept.
			agent, err := pod.Agent()
			must(t, err)
			must(t, agent.Signal(syscall.SIGKILL))
			time.Sleep(200 * time.Millisecond)
			refused(t, pod, it.name+", after a restart", fmt.Sprintf("bundle %d: %s", last.Counter, it.why), version)
		}

		writePart(t, damagedPart, whole)
		inEffect(t, pod, last.Counter, next)
		version, text = next, whole

		// The manifest itself is damaged, or from before.
		writePart(t, "manifest", manifest[:len(manifest)/2])
		refused(t, pod, "a truncated manifest", "not a manifest", version)
		older := last
		older.Counter--
		writePart(t, "manifest", manifestOf(t, older))
		refused(t, pod, "an older manifest", fmt.Sprintf("bundle %d is older than bundle %d", older.Counter, last.Counter), version)
		must(t, cluster.Delete(t.Context(), rig.ConfigMaps, cluster.Manifest()))
		writePart(t, "manifest", manifest)
		inEffect(t, pod, last.Counter, next)
		if testing.Short() && i == 1 {
			break
		}
	}
	must(t, cluster.Controllers(t.Context(), 2))
	check()
	if after, err := cluster.Bundle(t.Context()); err != nil || after.Counter <= last.Counter {
		t.Errorf("bundle %d follows bundle %d, which agents have: %v", after.Counter, last.Counter, err)
	}
	goodVersion(t, pod, "of-good")
}

// refused waits until the agent says why it does not take a bundle, and the version of the good route is still served.
func refused(t *testing.T, pod rig.Pod, name, why, version string) {
	t.Helper()
	took := eventually(t, saidWithin, func() error {
		answer, err := pod.Ask(t.Context())
		if err == nil && !strings.Contains(answer.NotTaken, why) {
			err = fmt.Errorf("%s: the agent says %q, and not %q", name, answer.NotTaken, why)
		}
		return err
	})
	t.Logf("%s: the agent says so after %s", name, took.Round(time.Millisecond))
	goodVersion(t, pod, version)
}

// inEffect waits until a bundle is.
func inEffect(t *testing.T, pod rig.Pod, counter uint64, version string) {
	t.Helper()
	eventually(t, saidWithin, func() error {
		answer, err := pod.Ask(t.Context())
		if err == nil && (answer.InEffect.Counter != counter || answer.NotTaken != "") {
			err = fmt.Errorf("bundle %d is in effect, not %d: %s", answer.InEffect.Counter, counter, answer.NotTaken)
		}
		return err
	})
	goodVersion(t, pod, version)
}

func goodVersion(t *testing.T, pod rig.Pod, version string) {
	t.Helper()
	if answer, err := at(cluster, pod).Get(goodHost, "/"); err != nil || answer.Version != version {
		t.Fatalf("version %q of the good route is served, not %q: status %d, %v", answer.Version, version, answer.Status, err)
	}
}

// manifestOf is a manifest with the bundle's number and hashes.
func manifestOf(t *testing.T, bundle rig.Bundle) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"version": 1, "gateway": cluster.Namespace + "/" + cluster.Gateway,
		"counter": bundle.Counter, "parts": bundle.Parts,
	})
	must(t, err)
	return string(text)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
