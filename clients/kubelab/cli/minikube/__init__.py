"""minikube's words: each does the thing, by the command of kubelab's own, or names the command that does it."""
