"""One compose cluster for all of these tests: they run one after the other, in one process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.daemon import NoDocker, daemon, images
from tests.compose.project import Project, all_ready, clear, node_image
from tests.e2e.terminal import OWN_FILES, SHARED_FILES, Terminal, Tutorial

TAG = "KUBELAB_TEST_TAG"
SECONDS = 1800  # of the first test, which installs Docker and builds images


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests the time that a daemon and images take."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="session")
def tag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Docker daemon that has the project's images, under this tag."""
    try:
        with daemon(tmp_path_factory.mktemp("docker")):
            if chosen := os.environ.get(TAG):  # images that exist already, to save the time of building them
                yield chosen
                return
            tag = f"t{os.getpid()}"
            with images(tag):
                yield tag
    except NoDocker as err:
        pytest.skip(str(err))


@pytest.fixture(scope="session")
def project(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project with its defaults, of one control plane and three workers; gone without a trace at the end."""
    project = Project(f"t{os.getpid()}", tmp_path_factory.mktemp("compose"), settings={"KUBELAB_TAG": tag})
    try:
        project.up()
        all_ready(project.terminal(project.folder))
        yield project
    finally:
        project.down()


@pytest.fixture(scope="module")
def terminal(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A shell for this module alone, and a cluster in which nothing runs yet."""
    terminal = project.terminal(tmp_path_factory.mktemp("terminal"))
    yield terminal
    clear(terminal)


@pytest.fixture(scope="session")
def node_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `docker save` gives of an image that has Node in it."""
    return node_image(tmp_path_factory.mktemp("node"), f"node:t{os.getpid()}")


@pytest.fixture(scope="module", params=["own", "shared"])
def tutorial(request: pytest.FixtureRequest, terminal: Terminal) -> Tutorial:
    """The chapter's files: the project's own, and the tutorial's where they are there (they need Node).

    The tutorial's app takes no notice of SIGTERM, so that each of its pods is killed when its thirty seconds are over.
    A module that has seen that often enough gives the image another ``STOP_SIGNAL``.
    """
    assets = terminal.folder / "assets"
    assets.unlink(missing_ok=True)
    if request.param == "own":
        assets.symlink_to(OWN_FILES)
        tutorial = Tutorial(terminal, image="kubelab/hello:v-1.0.0", base="")
    else:
        if not SHARED_FILES.is_dir():
            pytest.skip("the tutorial's own files are not beside this checkout")
        if not shutil.which("node", path="/usr/bin:/bin"):
            pytest.skip("the tutorial's app needs /usr/bin/node")
        assets.symlink_to(SHARED_FILES)
        archive = request.getfixturevalue("node_archive")
        loaded = terminal.type(f"kubelab image load {archive}").stdout.split()[-1]
        tutorial = Tutorial(terminal, image="kim0lil/80700:v-1.0.0", base=f"node={loaded}")
    tutorial.build(stop_signal=getattr(request.module, "STOP_SIGNAL", ""))
    return tutorial
