"""The version of Kubernetes whose behaviour kubelab follows, and kubelab's own version."""

VERSION = "0.1.0"
KUBERNETES_VERSION = "v1.32.0"
GIT_VERSION = f"{KUBERNETES_VERSION}+kubelab.{VERSION}"
