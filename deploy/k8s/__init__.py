"""The suite on Kubernetes: one table of processes and one of edges, and the manifests made from them."""
