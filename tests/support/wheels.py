"""A Python wheel of one module, and an index of such wheels: what ``pip install`` needs, without a registry."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path


def wheel(name: str, version: str, module: str) -> bytes:
    """Give a wheel of the distribution with one module of its name (PEP 427)."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name.lower()}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return content.getvalue()


def file_name(name: str, version: str) -> str:
    """``Flask-1.0-py3-none-any.whl``."""
    return f"{name}-{version}-py3-none-any.whl"


def write_index(folder: Path, *wheels: tuple[str, str, str]) -> None:
    """Write wheels (name, version, module) as an index that a plain web server can serve (PEP 503)."""
    for name, version, module in wheels:
        project = folder / name.lower()
        project.mkdir(parents=True, exist_ok=True)
        file = file_name(name, version)
        (project / file).write_bytes(wheel(name, version, module))
        (project / "index.html").write_text(f'<!DOCTYPE html><a href="{file}">{file}</a>\n')
