"""A real Kubernetes on this machine: `python -m tests.kubernetes`."""
