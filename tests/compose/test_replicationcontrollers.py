"""The tutorial's chapter on replication controllers, typed at a compose cluster, word for word."""

from tests.e2e.test_replicationcontrollers import *  # noqa: F403
