"""The programs as a user without rights types them: no root, no sudo, no right to enter root's folders."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.terminal import ROOT, Answer

NOBODY = 65534
PYTHON = "/usr/bin/python3"  # root's own, of pyenv say, may be where nobody else may look


class OrdinaryUser:
    """A home, and a shell in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        paths = [*site.getsitepackages(), *map(str, (ROOT / "base", ROOT / "build/protos", ROOT / "clients"))]
        self._environment = {
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(paths),
            "LC_ALL": "C.UTF-8",
        }

    def type(self, program: str, *words: str, **environment: str) -> Answer:
        """Run ``kctl`` or ``kubelab``."""
        module = {"kctl": "kubelab.kctl", "kubelab": "kubelab.cli"}[program]
        done = subprocess.run(
            [PYTHON, "-m", module, *words],
            cwd=self.home,
            env={**self._environment, **environment},
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        answer = Answer(" ".join((program, *words)), done.stdout, done.stderr, done.returncode)
        assert "Traceback" not in done.stderr, str(answer)
        return answer


@contextmanager
def ordinary_user() -> Generator[OrdinaryUser]:
    """Make a home for a user without rights; skips where that user could not read the programs."""
    home = Path(tempfile.mkdtemp(prefix="kubelab-user-"))
    try:
        os.chown(home, NOBODY, NOBODY)
        user = OrdinaryUser(home)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        asked = subprocess.run(
            [PYTHON, "-c", "import sys, kubelab.cli.__main__; print('%d.%d' % sys.version_info[:2])"],
            env=user._environment,
            cwd=home,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() != version:
            pytest.skip(f"no Python {version} that an ordinary user may run kubelab with: {asked.stderr[-200:]}")
        yield user
    finally:
        shutil.rmtree(home)
