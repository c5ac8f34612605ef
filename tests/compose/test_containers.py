"""The tutorial's chapter on containers, typed at a compose cluster, word for word."""

from tests.e2e.test_containers import *  # noqa: F403
