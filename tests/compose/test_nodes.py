"""The chapter on nodes, on a compose cluster."""

from tests.e2e.terminal import Terminal
from tests.e2e.test_nodes import *  # noqa: F403
from tests.e2e.test_nodes import STATUSES


def test_component_statuses(terminal: Terminal) -> None:
    """The api-server is told of three members of etcd; without the profile ``ha`` one runs."""
    told = terminal.type("kctl get cs")
    assert told.stderr == "Warning: v1 ComponentStatus is deprecated in v1.19+\n"
    absent = [["etcd-1", "Unhealthy"], ["etcd-2", "Unhealthy"]]
    assert [row[:2] for row in told.rows] == [["NAME", "STATUS"], *STATUSES, *absent]
