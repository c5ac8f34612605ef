"""The tutorial's chapter on mistakes, typed at a compose cluster, word for word."""

from tests.e2e.test_bad_input import *  # noqa: F403
