"""The Common Expression Language, as Kubernetes has it (https://kubernetes.io/docs/reference/using-api/cel/)."""
