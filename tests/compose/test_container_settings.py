"""What a container asks for in its spec, and what it gets, on a compose cluster."""

from tests.e2e.test_container_settings import *  # noqa: F403
