package rig

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ControllerName is what our entries in lists of statuses are known by.
const ControllerName = "gatewasm.dev/controller"

// Condition is one of a status.
type Condition struct {
	Type, Status, Reason, Message string
	ObservedGeneration            int64
}

func (c Condition) String() string {
	return fmt.Sprintf("%s=%s, %s: %s", c.Type, c.Status, c.Reason, c.Message)
}

// Entry is one of a route's `status.parents`.
type Entry struct {
	ControllerName string
	Conditions     []Condition
}

// Condition is one of an object's conditions, of a route's those in our entry, if it is about what the object asks for
// now.
func (c *Cluster) Condition(ctx context.Context, resource schema.GroupVersionResource, name, kind string) (Condition, error) {
	object, err := c.Object(ctx, resource, name)
	if err != nil {
		return Condition{}, err
	}
	var status struct {
		Conditions []Condition
		Parents    []Entry
	}
	text, err := json.Marshal(object.Object["status"])
	if err == nil {
		err = json.Unmarshal(text, &status)
	}
	for _, entry := range status.Parents {
		if entry.ControllerName == ControllerName {
			status.Conditions = append(status.Conditions, entry.Conditions...)
		}
	}
	for _, condition := range status.Conditions {
		if condition.Type == kind && condition.ObservedGeneration == object.GetGeneration() {
			return condition, err
		}
	}
	return Condition{}, fmt.Errorf("%s %s has no current condition %s: %s", resource.Resource, name, kind, text)
}
