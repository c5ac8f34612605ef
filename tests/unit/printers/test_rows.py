"""The server's tables, cell by cell, against golden files.

``KUBELAB_WRITE_GOLDEN=1 pytest tests/unit/printers`` writes them anew: read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apiserver.resources.table import Resources, builtin

HERE = Path(__file__).parent / "golden"
RESOURCES = Resources(builtin())
ROWS = {**{r: storage.row for r, storage in RESOURCES.storages.items()}, **RESOURCES.rows}
NOW = 1714564800.0  # 2024-05-01T12:00:00Z


@pytest.mark.parametrize("source", sorted(HERE.glob("*.yml")), ids=lambda path: path.stem)
def test_rows(source: Path) -> None:
    lines: list[str] = []
    for document in decode(source.read_text(), str(source)):
        cells = ROWS[document.resource](document.obj, NOW)
        assert len(cells) == len(document.resource.columns)
        names = [column.name for column in document.resource.columns]
        lines += [f"{name}: {cell}" for name, cell in zip(names, cells, strict=True)] + [""]
    golden = source.with_suffix(".txt")
    if os.environ.get("KUBELAB_WRITE_GOLDEN"):
        golden.write_text("\n".join(lines))
    assert "\n".join(lines) == golden.read_text()


def test_every_stored_resource_has_rows() -> None:
    for resource in scheme.ALL:
        if "get" in resource.verbs:
            assert len(ROWS[resource](resource.message(), NOW)) == len(resource.columns)
