package conformance

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

//go:embed suite-v1.6.1.txt
var list string

// TestList holds suite-v1.6.1.txt, from which other tests know the suite without Go, to the suite itself.
// UPDATE_EXPECT=1 writes it.
func TestList(t *testing.T) {
	is := suiteAsText()
	if os.Getenv("UPDATE_EXPECT") != "" {
		if err := os.WriteFile("suite-v1.6.1.txt", []byte(is), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if is != list {
		t.Errorf("suite-v1.6.1.txt is not what the suite has, which is\n%s", is)
	}
}

// suiteAsText is a line for each profile of Gateways and each of its levels, for the features of the experimental
// channel, and for each test that needs no mesh.
func suiteAsText() string {
	var text strings.Builder
	for _, profile := range []suite.ConformanceProfile{
		suite.GatewayHTTPConformanceProfile,
		suite.GatewayGRPCConformanceProfile,
		suite.GatewayTLSConformanceProfile,
		suite.GatewayTCPConformanceProfile,
		suite.GatewayUDPConformanceProfile,
	} {
		fmt.Fprintf(&text, "core %s:%s\n", profile.Name, sorted(profile.CoreFeatures))
		fmt.Fprintf(&text, "extended %s:%s\n", profile.Name, sorted(profile.ExtendedFeatures))
	}
	experimental := sets.New[features.FeatureName]()
	for feature := range features.AllFeatures {
		if feature.Channel == features.FeatureChannelExperimental {
			experimental.Insert(feature.Name)
		}
	}
	fmt.Fprintf(&text, "channel experimental:%s\n", sorted(experimental))
	var lines []string
	for _, test := range tests.ConformanceTests {
		if needed := sets.New(test.Features...); !needed.Has(features.SupportMesh) {
			lines = append(lines, fmt.Sprintf("test %s:%s\n", test.ShortName, sorted(needed)))
		}
	}
	slices.Sort(lines)
	return text.String() + strings.Join(lines, "")
}

func sorted(names sets.Set[features.FeatureName]) string {
	var text strings.Builder
	for _, name := range sets.List(names) {
		text.WriteString(" " + string(name))
	}
	return text.String()
}
