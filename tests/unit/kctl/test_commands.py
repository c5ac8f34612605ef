"""Command lines that need no server, and wrong ones, against what kubectl 1.32 prints (golden/commands.txt)."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.unit.kctl.conftest import GOLDEN, Shell

TEXT = (GOLDEN / "commands.txt").read_text()
TYPED = dict(re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", TEXT, re.MULTILINE))


@pytest.mark.parametrize("command", TYPED)
def test_as_kubectl(shell: Shell, command: str) -> None:
    typed = shell(*shlex.split(command))
    expected = TYPED[command]
    if expected.startswith("error:"):
        assert typed.stderr == expected
        assert (typed.code, typed.stdout) == (1, "")
    else:
        assert typed.stdout == expected
        assert (typed.code, typed.stderr) == (0, "")
    assert not shell.server.calls
