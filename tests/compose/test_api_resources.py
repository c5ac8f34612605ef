"""The chapters on apiVersion, kind and short names, on a compose cluster."""

from tests.e2e.test_api_resources import *  # noqa: F403
