// Package loadbalancer plays the load balancer of a cloud: it gives each Service of type LoadBalancer an address of a
// pool, the one of spec.loadBalancerIP where that is in the pool and free, and refuses others with a condition and an
// Event. It carries no traffic: kube-proxy serves what stands in a Service's status.
package loadbalancer

import (
	"context"
	"fmt"
	"net/netip"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

const name = "loadbalancer"

// Command is `loadbalancer --kubeconfig FILE --pool PREFIX`.
func Command() *cobra.Command {
	var kubeconfig, prefix string
	command := &cobra.Command{
		Use: name,
		RunE: func(*cobra.Command, []string) error {
			addresses, err := netip.ParsePrefix(prefix)
			if err != nil {
				return err
			}
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
			defer cancel()
			return run(ctx, client, newPool(addresses))
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&prefix, "pool", "", "the addresses to hand out")
	return command
}

// run watches Services until the context ends, and decides about one at a time.
func run(ctx context.Context, client kubernetes.Interface, addresses *pool) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer broadcaster.Shutdown()
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 5*time.Second)
	balancer := &balancer{
		client:  client,
		lister:  services.Lister(),
		events:  broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: name}),
		queue:   workqueue.NewTypedRateLimitingQueue(limiter),
		pool:    addresses,
		waiting: map[string]bool{},
	}
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			balancer.queue.Add(key)
		}
	}
	if _, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, new any) { enqueue(new) },
		DeleteFunc: enqueue,
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), services.Informer().HasSynced) {
		return fmt.Errorf("ended before the Services were read")
	}
	go func() {
		<-ctx.Done()
		balancer.queue.ShutDown()
	}()
	return balancer.work(ctx)
}
