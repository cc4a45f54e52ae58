// cluster is a Kubernetes cluster on this machine, in namespaces of its own that nothing leaves: what the user types.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

const usage = `usage: cluster COMMAND
  up              start it, and wait until its node, DNS and load balancer work
  down            end it, and remove all that it wrote
  status          what runs; exit code 1 if something does not
  run CMD…        a command inside, with KUBECONFIG and PATH set
  kubectl ARG…    the same as run kubectl ARG…
  load FILE…      put the images of these archives onto the node
  stop NAME…      stop components (kube-apiserver, etcd, …: status names them), in this order
  start NAME…     start them again
  smoke [FLAG…]   test it
GATEWASM_CLUSTER names the cluster (now %q): with two names, two stand side by side.
`

func main() {
	// Programs of the administrator's, whoever calls.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	if err := command(os.Args[1:]); err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func command(arguments []string) error {
	cluster, err := find()
	if err != nil {
		return err
	}
	if len(arguments) == 0 {
		fmt.Fprintf(os.Stderr, usage, cluster.name)
		os.Exit(2)
	}
	verb, rest := arguments[0], arguments[1:]
	switch verb {
	case "up":
		return cluster.up()
	case "down":
		return cluster.down()
	case "status":
		return cluster.status()
	case "run":
		return cluster.run(rest)
	case "kubectl":
		return cluster.run(arguments)
	case "load":
		return cluster.load(rest)
	case "stop", "start":
		return cluster.control(verb, rest)
	case "smoke":
		return cluster.run(append([]string{inBin + "/smoke.test", "-test.v", "-test.failfast"}, rest...))
	// What the program calls itself with.
	case insideVerb:
		return inside()
	case executeVerb:
		return execute(rest)
	}
	fmt.Fprintf(os.Stderr, usage, cluster.name)
	os.Exit(2)
	return nil
}
