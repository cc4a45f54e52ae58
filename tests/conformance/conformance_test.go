// Package conformance is the official conformance suite of the Gateway API as one test program, unmodified. Every
// option is a flag of the suite's own; run.sh gives those that we claim with.
package conformance

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) {
	conformance.RunConformance(t)
}
