"""The answers that the tests of kctl hold for kubectl's are those of a released kubectl."""

from __future__ import annotations

import pytest

from tests.clients.programs import program
from tests.support.kubectlcases import Case, ask, cases

KUBECTL = program("kubectl", "v32")


@pytest.mark.skipif(KUBECTL is None, reason="make test fetches kubectl")
@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.line)
def test_kubectl_says_so(case: Case) -> None:
    assert KUBECTL is not None
    assert ask(KUBECTL, case.words) == case.answer
