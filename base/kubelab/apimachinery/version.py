"""What this is a version of: the Kubernetes whose behaviour it follows, and its own number."""

VERSION = "0.1.0"
KUBERNETES_VERSION = "v1.32.0"
GIT_VERSION = f"{KUBERNETES_VERSION}+kubelab.{VERSION}"
