"""The config map ``kube-root-ca.crt`` of every namespace."""
