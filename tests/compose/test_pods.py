"""The tutorial's chapter on pods, typed at a compose cluster, word for word."""

from tests.e2e.test_pods import *  # noqa: F403
