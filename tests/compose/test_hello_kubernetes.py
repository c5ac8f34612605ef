"""The tutorial's first chapter, typed at a compose cluster, word for word."""

from tests.e2e.test_hello_kubernetes import *  # noqa: F403
