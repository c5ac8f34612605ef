"""Which official images the base ``host`` is completed for."""

from __future__ import annotations

import pytest

from kubelab.runtime.build import hostbases, stages


@pytest.mark.parametrize("name", ["python", "python:3.7", "python:3.12-slim", "library/python", "docker.io/library/python:3"])
def test_every_name_of_the_official_python_is_completed(name: str) -> None:
    steps = hostbases.steps(name)
    assert [stages.trigger(step).line.name for step in steps] == ["RUN", "ENV", "CMD"]


@pytest.mark.parametrize("name", ["node", "host", "scratch", "me/python", "ghcr.io/library/python", "", "No Name"])
def test_others_are_left_as_they_are(name: str) -> None:
    assert hostbases.steps(name) == ()
