"""The chapter on nodes, on a compose cluster."""

from tests.e2e.test_nodes import *  # noqa: F403
