"""Programs of Debian packages, unpacked below ``build/clients/debian`` without installing them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.clients.programs import FOLDER

UNPACKED = FOLDER / "debian"


def program(package: str, path: str) -> Path:
    """Give a program of a package, such as ``usr/bin/prometheus``; skips the test where there is no such package."""
    found = UNPACKED / package / path
    if found.exists():
        return found
    if shutil.which("apt-get") is None:
        pytest.skip("no Debian packages here")
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNPACKED) as folder:
        fetched = subprocess.run(
            ["apt-get", "download", "--quiet", package], cwd=folder, capture_output=True, text=True, check=False
        )
        if fetched.returncode:
            pytest.skip(f"apt-get has no {package}: {fetched.stderr.strip()}")
        archive = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg", "-x", archive, Path(folder) / "unpacked"], check=True)
        (Path(folder) / "unpacked").replace(UNPACKED / package)
    return found
