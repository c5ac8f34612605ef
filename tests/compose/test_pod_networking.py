"""The tutorial's chapter on pod networking, typed at a compose cluster, word for word."""

from tests.e2e.test_pod_networking import *  # noqa: F403
