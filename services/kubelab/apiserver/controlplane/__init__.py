"""What the api-server itself keeps in the cluster: system namespaces, its own service, the label of its node."""
