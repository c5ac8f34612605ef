"""The text that the user edits: a header of comments with what was wrong, and the objects below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CANCELLED = "Edit cancelled, no changes made."
EMPTY = "Edit cancelled, saved file was empty."
NO_VALID_CHANGES = "Edit cancelled, no valid changes were saved."
HEADER = """\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
"""
LAST_APPLIED_HEADER = """\
# Please edit the 'last-applied-configuration' annotations below.
# Lines beginning with a '#' will be ignored, and an empty file will abort the edit.
#
"""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the last attempt failed: a sentence, and its points."""

    head: str
    points: tuple[str, ...] = ()


def header(first: str, reasons: Sequence[Reason], suffix: str) -> str:
    """Give the comments above the objects. JSON has none, so that an editor can check it, until something is wrong."""
    text = first if suffix != ".json" or reasons else ""
    for reason in reasons:
        text += f"# {_hashed(reason.head)}{':' if reason.points else ''}\n"
        text += "".join(f"# * {_hashed(point)}\n" for point in reason.points)
        text += "#\n"
    return text


def _hashed(text: str) -> str:
    return text.replace("\n", "\n# ")


def without_comments(text: str) -> str:
    """Leave out the lines that begin with ``#``. An indented one stays: it may be a line of a text of the object's."""
    return "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("#"))


def is_empty(text: str) -> bool:
    """Say whether nothing but comments and white space is there."""
    return all(line.lstrip().startswith("#") or not line.strip() for line in text.splitlines())


def same(one: str, other: str) -> bool:
    """Say whether two texts mean the same; texts that cannot be read are compared without their comments."""
    if without_comments(one) == without_comments(other):
        return True
    from kubelab.apimachinery.manifest.diagnostics import ManifestError
    from kubelab.apimachinery.manifest.yamlnodes import parse, plain

    try:
        first, second = ([plain(node) for node in parse(without_comments(text), "edited")] for text in (one, other))
    except ManifestError:
        return False
    return first == second
