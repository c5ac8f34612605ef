"""The ``kubelab`` command, which feels like minikube."""
