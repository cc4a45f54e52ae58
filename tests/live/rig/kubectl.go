package rig

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// Kubectl runs kubectl, and returns what it prints on standard output.
func Kubectl(input string, arguments ...string) (string, error) {
	return Run(input, "kubectl", arguments...)
}

// Run runs a program, and returns what it prints on standard output.
func Run(input, program string, arguments ...string) (string, error) {
	command := exec.Command(program, arguments...)
	command.Stdin = strings.NewReader(input)
	var errors bytes.Buffer
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", program, strings.Join(arguments, " "), err, &errors)
	}
	return strings.TrimSpace(string(output)), err
}
