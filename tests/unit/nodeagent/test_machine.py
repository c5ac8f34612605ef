"""What a machine lacks, read off its status."""

from __future__ import annotations

import pytest

from kubelab.nodeagent.machine import PreparationError, check_capabilities

DOCKER = 0xA80425FB  # what Docker gives by default
NET_ADMIN, SYS_ADMIN = 1 << 12, 1 << 21


def status(effective: int) -> str:
    return f"Name:\tpython3\nCapPrm:\t{0:016x}\nCapEff:\t{effective:016x}\nCapBnd:\t{0:016x}\n"


def test_enough() -> None:
    check_capabilities(status(DOCKER | NET_ADMIN | SYS_ADMIN))


@pytest.mark.parametrize(
    ("effective", "missing"),
    [
        (DOCKER, "CAP_SYS_ADMIN, CAP_NET_ADMIN: not permitted"),
        (DOCKER | NET_ADMIN, "CAP_SYS_ADMIN: not permitted"),
        (DOCKER | SYS_ADMIN, "CAP_NET_ADMIN: not permitted"),
    ],
)
def test_what_is_missing_is_named_with_the_line_that_gives_it(effective: int, missing: str) -> None:
    with pytest.raises(PreparationError) as caught:
        check_capabilities(status(effective))
    assert str(caught.value).startswith(missing)
    assert str(caught.value).endswith("cap_add: [SYS_ADMIN, NET_ADMIN]")
