package loadbalancer

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// The condition of a Service that says why it has no address, or that it has one.
const addressAssigned = "AddressAssigned"

// balancer decides which Service has which address. What stands in the Services' status is the truth: the pool is
// read from there at the start.
type balancer struct {
	client kubernetes.Interface
	lister corelisters.ServiceLister
	events record.EventRecorder
	queue  workqueue.TypedRateLimitingInterface[string]
	pool   *pool
	// Services that were refused an address, to be asked again when one is given back.
	waiting map[string]bool
}

// work decides about the Services of the queue until it is shut down.
func (b *balancer) work(ctx context.Context) error {
	services, err := b.lister.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, service := range services {
		if address, ok := assigned(service); ok && ours(service) {
			// An address that two have, or that is of another pool, is taken from the second when its turn comes.
			_ = b.pool.claim(cache.MetaObjectToName(service).String(), address)
		}
	}
	for {
		key, shutdown := b.queue.Get()
		if shutdown {
			return nil
		}
		if err := b.decide(ctx, key); err != nil {
			klog.ErrorS(err, "Trying again later", "service", key)
			b.queue.AddRateLimited(key)
		} else {
			b.queue.Forget(key)
		}
		b.queue.Done(key)
	}
}

// decide brings one Service's status to what it should be.
func (b *balancer) decide(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	service, err := b.lister.Services(namespace).Get(name)
	if errors.IsNotFound(err) {
		b.giveBack(key)
		return nil
	} else if err != nil {
		return err
	}
	if service.Spec.LoadBalancerClass != nil {
		return nil
	}
	wanted := service.DeepCopy()
	if !ours(service) {
		b.giveBack(key)
		wanted.Status.LoadBalancer = corev1.LoadBalancerStatus{}
		meta.RemoveStatusCondition(&wanted.Status.Conditions, addressAssigned)
		return b.write(ctx, service, wanted)
	}
	condition := metav1.Condition{Type: addressAssigned, ObservedGeneration: service.Generation}
	address, err := b.choose(key, service)
	if err != nil {
		b.giveBack(key)
		b.waiting[key] = true
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, "AddressRefused", err.Error()
		wanted.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	} else {
		delete(b.waiting, key)
		condition.Status, condition.Reason = metav1.ConditionTrue, "AddressAssigned"
		condition.Message = fmt.Sprintf("%s is this Service's own", address)
		if had, ok := assigned(service); !ok || had != address {
			wanted.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address.String()}}
			b.askAgain()
		}
	}
	if meta.SetStatusCondition(&wanted.Status.Conditions, condition) && condition.Status == metav1.ConditionFalse {
		b.events.Event(service, corev1.EventTypeWarning, condition.Reason, condition.Message)
	}
	return b.write(ctx, service, wanted)
}

// choose says which address a Service is to have: the one that it asks for, the one that it has, the next one.
func (b *balancer) choose(key string, service *corev1.Service) (netip.Addr, error) {
	if text := service.Spec.LoadBalancerIP; text != "" {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return address, fmt.Errorf("spec.loadBalancerIP %q is not an address", text)
		}
		if err := b.pool.claim(key, address); err != nil {
			return address, fmt.Errorf("spec.loadBalancerIP: %w", err)
		}
		return address, nil
	}
	if had, ok := assigned(service); ok && b.pool.claim(key, had) == nil {
		return had, nil
	}
	return b.pool.next(key)
}

// giveBack frees a Service's address.
func (b *balancer) giveBack(key string) {
	delete(b.waiting, key)
	if b.pool.release(key) {
		b.askAgain()
	}
}

// askAgain decides anew about those who were refused an address, for one may have become free.
func (b *balancer) askAgain() {
	for key := range b.waiting {
		b.queue.Add(key)
	}
}

func (b *balancer) write(ctx context.Context, had, wanted *corev1.Service) error {
	if equality.Semantic.DeepEqual(had.Status, wanted.Status) {
		return nil
	}
	_, err := b.client.CoreV1().Services(wanted.Namespace).UpdateStatus(ctx, wanted, metav1.UpdateOptions{})
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}

// ours says whether a Service is to have an address from here.
func ours(service *corev1.Service) bool {
	return service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil &&
		service.DeletionTimestamp == nil
}

// assigned is the address in a Service's status.
func assigned(service *corev1.Service) (netip.Addr, bool) {
	if len(service.Status.LoadBalancer.Ingress) == 0 {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(service.Status.LoadBalancer.Ingress[0].IP)
	return address, err == nil
}
