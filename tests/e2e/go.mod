module gatewasm/tests/e2e

go 1.26.0
