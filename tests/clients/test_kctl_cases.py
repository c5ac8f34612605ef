"""The answers and flags that the tests of kctl hold for kubectl's are those of released kubectls."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import VERSIONS, program
from tests.support import kubectlflags
from tests.support.kubectlcases import Case, ask, cases


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    wanted: str = request.param
    if program("kubectl", wanted) is None:
        pytest.skip(f"make build/clients/{wanted}/kubectl fetches it")
    return wanted


@pytest.fixture
def kubectl(version: str) -> Path:
    found = program("kubectl", version)
    assert found is not None
    return found


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.line)
def test_kubectl_says_so(case: Case, version: str, kubectl: Path) -> None:
    assert ask(kubectl, case.words) == case.answer_of(version)


def test_kubectl_has_these_flags(version: str, kubectl: Path) -> None:
    assert dict(kubectlflags.ask(kubectl)) == kubectlflags.golden(version)
