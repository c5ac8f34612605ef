"""The chapter on namespaces, on a compose cluster."""

from tests.e2e.test_namespaces import *  # noqa: F403
