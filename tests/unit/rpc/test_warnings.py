"""How warnings travel, and who hears them."""

from __future__ import annotations

import pytest

from kubelab.rpc import warnings


def heard(*texts: str) -> list[str]:
    """What a listener hears of an answer with these warnings."""
    found: list[str] = []
    with warnings.listening(found.append):
        warnings.deliver_from((("other", "x"), *warnings.metadata(texts)))
    return found


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ([], []),
        (["a", "b", "a", ""], ["a", "b"]),
        (["spec: ü \x1b \U0001f600\n"], ["spec: ü \x1b \U0001f600\n"]),
        (["x" * 4000], ["x" * 4000]),
        (["x" * 5000], ["x" * 256]),
        (["ü" * 5000, "short"], ["ü" * 256, "short"]),
        ([f"{n:04}" + "x" * 996 for n in range(100)], [f"{n:04}" + "x" * 252 for n in range(16)]),
    ],
)
def test_what_is_heard_and_within_which_bounds(sent: list[str], got: list[str]) -> None:
    assert heard(*sent) == got
    assert sum(len(text.encode()) for text in got) <= warnings.MAX_BYTES


def test_without_a_listener_nothing_is_wanted() -> None:
    assert not warnings.has_listener()
    warnings.deliver_from(warnings.metadata(["a"]))
    with warnings.listening(lambda text: None):
        assert warnings.has_listener()
    assert not warnings.has_listener()
