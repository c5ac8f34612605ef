"""The tutorial's chapter on how a pod is made, typed at a compose cluster, word for word."""

from tests.e2e.test_how_a_pod_is_made import *  # noqa: F403
