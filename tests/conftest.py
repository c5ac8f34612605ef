"""What every test gets: an exception that a loop would only log and count fails the test that made it happen."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from kubelab.client import runtimeerrors

# How long an example takes is the machine's business, not the code's.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C, and `nohup` the end
# of the terminal. Some tests send both.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


ONE_WORKER = ("tests/clients/",)  # folders whose modules share a cluster


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadfile`` a file is one worker's; here a folder whose files share a cluster is as well."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler.loadfile import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            shared = (folder for folder in ONE_WORKER if nodeid.startswith(folder))
            return next(shared, None) or super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def strict_bugs() -> Iterator[None]:
    runtimeerrors.set_strict(True)
    yield
    runtimeerrors.set_strict(False)
