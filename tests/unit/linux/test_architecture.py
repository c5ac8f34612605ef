"""Go's words for architectures."""

from __future__ import annotations

import platform

import pytest

from kubelab.linux.architecture import architecture


@pytest.mark.parametrize(
    ("machine", "word"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("armv7l", "arm"), ("i686", "386"), ("vax", "vax")]
)
def test_a_machine_in_go_s_word(machine: str, word: str) -> None:
    assert architecture(machine) == word


def test_this_machine() -> None:
    assert architecture() == architecture(platform.machine())
