"""The JSONPath expressions of custom columns, ``--sort-by`` and ``wait``: braces and the first dot may be left out."""

from __future__ import annotations

import re

from kubelab.apimachinery.jsonpath import JSONPath, JSONPathError
from kubelab.kctl.flags import UsageProblem

_RELAXED = re.compile(r"\{\.?([^{}]+)\}|\.?([^{}]+)")


def relaxed(text: str) -> str:
    """Give ``{.a.b}`` for ``a.b``, ``.a.b`` or ``{a.b}``. Raises UsageProblem in kubectl's words."""
    found = _RELAXED.fullmatch(text)
    if found is None:
        raise UsageProblem(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    return f"{{.{found[1] or found[2]}}}"


def relaxed_path(text: str) -> JSONPath:
    """Parse such an expression; what it does not find is an empty result. Raises UsageProblem."""
    try:
        return JSONPath(relaxed(text), allow_missing_keys=True)
    except JSONPathError as err:
        raise UsageProblem(str(err)) from err
