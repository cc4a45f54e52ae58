package main

// component is one process of the cluster.
type component struct {
	name    string
	command []string
	// Returns when the process serves; components after it wait for that. Nil where none of them needs to.
	ready func() error
}

// components are the cluster's processes in the order in which they start.
func components(cluster string) []component {
	kube := func(name string, ready func() error, flags ...string) component {
		return component{name, append([]string{inBin + "/kube", name}, flags...), ready}
	}
	return []component{
		kube("etcd", nil, "--data-dir="+inState+"/etcd"),
		{"containerd", []string{inBin + "/containerd", "--config=" + inConfig + "/containerd.toml"}, importImages},
		kube("kube-apiserver", apiServerReady, apiServerFlags()...),
		kube("kube-controller-manager", nil, append(clientFlags("kube-controller-manager"),
			"--use-service-account-credentials", "--service-account-private-key-file="+inPKI+"/service-accounts.key",
			"--root-ca-file="+inPKI+"/ca.crt",
			"--cluster-signing-cert-file="+inPKI+"/ca.crt", "--cluster-signing-key-file="+inPKI+"/ca.key",
			"--flex-volume-plugin-dir="+inState+"/kubelet/volume-plugins",
			"--allocate-node-cidrs", "--cluster-cidr="+podRange, "--service-cluster-ip-range="+serviceRange)...),
		kube("kube-scheduler", nil, clientFlags("kube-scheduler")...),
		kube("kubelet", nil, "--config="+inConfig+"/kubelet.yaml", "--kubeconfig="+inPKI+"/kubelet.kubeconfig",
			"--root-dir="+inState+"/kubelet", "--cgroup-root="+cgroupRoot(cluster),
			"--hostname-override="+nodeName, "--node-ip="+nodeAddress),
		kube("kube-proxy", nil, "--config="+inConfig+"/kube-proxy.yaml", "--hostname-override="+nodeName),
		kube("loadbalancer", nil, "--kubeconfig="+inPKI+"/loadbalancer.kubeconfig", "--pool="+addressPool),
	}
}

func clientFlags(name string) []string {
	kubeconfig := inPKI + "/" + name + ".kubeconfig"
	return []string{"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig, "--bind-address=127.0.0.1", "--leader-elect=false"}
}

func apiServerFlags() []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		// All of the box's addresses: pods come by the Service kubernetes, the node by 127.0.0.1 and its own.
		"--bind-address=0.0.0.0", "--secure-port=6443", "--advertise-address=" + nodeAddress,
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--client-ca-file=" + inPKI + "/ca.crt",
		"--tls-cert-file=" + inPKI + "/apiserver.crt", "--tls-private-key-file=" + inPKI + "/apiserver.key",
		"--kubelet-certificate-authority=" + inPKI + "/ca.crt", "--kubelet-preferred-address-types=InternalIP",
		"--kubelet-client-certificate=" + inPKI + "/apiserver-kubelet.crt",
		"--kubelet-client-key=" + inPKI + "/apiserver-kubelet.key",
		"--requestheader-client-ca-file=" + inPKI + "/ca.crt", "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + inPKI + "/front-proxy.crt", "--proxy-client-key-file=" + inPKI + "/front-proxy.key",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + inPKI + "/service-accounts.pub",
		"--service-account-signing-key-file=" + inPKI + "/service-accounts.key",
		"--audit-policy-file=" + inConfig + "/audit.yaml", "--audit-log-path=" + inLog + "/audit.log",
	}
}
