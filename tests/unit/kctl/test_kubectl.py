"""What kctl answers without a server, against what kubectl 1.32 answers (golden/kubectl)."""

from __future__ import annotations

import pytest

from tests.support.kubectlcases import FOLDER, Answer, Case, cases
from tests.unit.kctl.conftest import Shell


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.line)
def test_as_kubectl(shell: Shell, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    typed = shell(*case.words)
    assert Answer(typed.stdout, typed.stderr, typed.code) == case.answer
    assert not shell.server.calls
