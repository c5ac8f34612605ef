"""Sets of completion indexes as text, ``1,3-5,7``: how an indexed Job says which have succeeded
(https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)


Intervals = list[tuple[int, int]]
"""First and last index of each run. A user may name two thousand million indexes in a few characters."""


def parse(text: str, completions: int) -> Intervals:
    """Read indexes below ``completions``, in order. Raises ValueError in upstream's words."""
    result: Intervals = []
    last = -1
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            quoted = f'"{part}"'
            raise ValueError(
                f"the fragment {quoted} violates the requirement that an index interval can have at most two parts "
                "separated by '-'"
            )
        for end in ends:
            value = _index(end, completions)
            if value <= last:
                raise ValueError(f"non-increasing order, previous: {last}, current: {value}")
            last = value
        result.append((int(ends[0]), int(ends[-1])))
    return result


def size(intervals: Intervals) -> int:
    """Count the indexes."""
    return sum(last - first + 1 for first, last in intervals)


def among(some: Iterable[int], intervals: Intervals) -> int:
    """Count those of ``some`` that are in the intervals."""
    starts = [first for first, _ in intervals]
    places = ((index, bisect_right(starts, index) - 1) for index in some)
    return sum(place >= 0 and index <= intervals[place][1] for index, place in places)


def _index(text: str, completions: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return int(text)


def known(text: str, completions: int) -> set[int]:
    """Read indexes from a status, and leave out what a smaller number of completions has no more, or is no number."""
    result: set[int] = set()
    for part in text.split(","):
        first, dash, end = part.partition("-")
        if _NUMBER.fullmatch(first) and (not dash or _NUMBER.fullmatch(end)):
            result.update(range(max(int(first), 0), min(int(end if dash else first) + 1, completions)))
    return result


def text(indexes: Iterable[int]) -> str:
    """Write a set: neighbours by a comma when they are two, by a dash when they are more."""
    parts: list[str] = []
    for first, last in _intervals(sorted(indexes)):
        parts.append(str(first) if first == last else f"{first}{',' if last == first + 1 else '-'}{last}")
    return ",".join(parts)


def _intervals(ordered: list[int]) -> Intervals:
    result: Intervals = []
    for index in ordered:
        if result and result[-1][1] == index - 1:
            result[-1] = (result[-1][0], index)
        else:
            result.append((index, index))
    return result
