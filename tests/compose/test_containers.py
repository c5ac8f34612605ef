"""The chapter on containers, on a compose cluster."""

import pytest

from tests.e2e.terminal import Tutorial
from tests.e2e.test_containers import *  # noqa: F403


@pytest.fixture(scope="module")
def second_image(tutorial: Tutorial) -> None:
    """The Python app's image, of the project's own files: a container's RUN does not reach an index of this machine."""
    if tutorial.base:
        pytest.skip("the tutorial's Dockerfile installs Flask")
    image = tutorial.image.replace("v-1.0.0", "v-1.0.1")
    tutorial.terminal.type(f"kubelab image build -t {image} assets/00001/00005")
