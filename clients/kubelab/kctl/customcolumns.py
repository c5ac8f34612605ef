"""``-o custom-columns=NAME:.metadata.name,…``: one row for each object, one JSONPath expression for each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubelab.apimachinery.jsonpath import JSONPath, JSONPathError
from kubelab.apimachinery.jsonpath.evaluate import go_text
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.relaxedpath import relaxed_path
from kubelab.kctl.session import Failed
from kubelab.kctl.tables import Columns

NONE = "<none>"
_EXPECTED = "Expected format is one line of space separated headers, one line of space separated column specs."


@dataclass(slots=True)
class CustomColumnsPrinter:
    """Prints the columns; the header stands above the first row that it prints."""

    headers: Sequence[str]
    paths: Sequence[JSONPath]
    no_headers: bool = False
    _columns: Columns = field(default_factory=Columns)

    @classmethod
    def from_spec(cls, spec: str, *, no_headers: bool = False) -> CustomColumnsPrinter:
        """Read ``HEADER:path,HEADER:path``. Raises UsageProblem in kubectl's words."""
        if not spec:
            raise UsageProblem("custom-columns format specified but no custom columns given")
        headers: list[str] = []
        paths: list[JSONPath] = []
        for part in spec.split(","):
            header, colon, path = part.partition(":")
            if not colon:
                raise UsageProblem(f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
            headers.append(header)
            paths.append(relaxed_path(path))
        return cls(headers, paths, no_headers)

    @classmethod
    def from_file(cls, path: str) -> CustomColumnsPrinter:
        """Read a file of two lines: headers, and a path below each. Raises UsageProblem."""
        try:
            lines = Path(path).expanduser().read_text().splitlines()
        except (OSError, UnicodeDecodeError) as err:
            why = (err.strerror or "").lower() if isinstance(err, OSError) else "it is not UTF-8 text"
            raise UsageProblem(f"error reading template {path}, open {path}: {why}") from err
        for number, part in enumerate(("header", "spec")):
            if len(lines) <= number:
                raise UsageProblem(f"invalid template, missing {part} line. {_EXPECTED}")
        headers, specs = lines[0].split(), lines[1].split()
        if len(headers) != len(specs):
            raise UsageProblem(
                f"number of headers ({len(headers)}) and field specifications ({len(specs)}) don't match"
            )
        return cls(headers, [relaxed_path(spec) for spec in specs])

    def render(self, document: dict[str, Any]) -> str:
        is_list = str(document.get("kind", "")).endswith("List") and "items" in document
        rows = [] if self.no_headers else [list(self.headers)]
        self.no_headers = True
        rows += [self._row(item) for item in (document["items"] if is_list else [document])]
        return self._columns.render(rows)

    def _row(self, document: dict[str, Any]) -> list[str]:
        try:
            return [_cell(path.find(document)) for path in self.paths]
        except JSONPathError as err:
            raise Failed(f"error: {err}") from err


def _cell(found: list[list[Any]]) -> str:
    none = [NONE] if not found or not found[0] else []
    return ",".join([*none, *(go_text(value) for values in found for value in values)])
