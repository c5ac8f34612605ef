"""Bring raw scores to 0 to 100."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.scheduler.framework import MAX_SCORE


def to_most(scores: Sequence[int]) -> list[int]:
    """Let the highest be 100 and the others in proportion (upstream's DefaultNormalizeScore)."""
    most = max(scores)
    return [MAX_SCORE * score // most for score in scores] if most else list(scores)


def between(scores: Sequence[int]) -> list[int]:
    """Let the lowest be 0 and the highest 100; all are 0 when they are equal."""
    least, most = min(scores), max(scores)
    return [MAX_SCORE * (score - least) // (most - least) for score in scores] if most > least else [0] * len(scores)
