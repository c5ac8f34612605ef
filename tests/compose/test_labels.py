"""The chapter on labels, on a compose cluster."""

from tests.e2e.test_labels import *  # noqa: F403
