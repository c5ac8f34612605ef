"""Failure experiments on a compose cluster: the same files, the same answers."""

from __future__ import annotations

import pytest

from tests.e2e.terminal import Terminal


@pytest.mark.parametrize("experiment", ["scheduler", "kubelet"])
def test_an_experiment_is_as_predicted_and_leaves_nothing(terminal: Terminal, experiment: str) -> None:
    told = terminal.type(f"kubelab chaos run {experiment} --journal-path {experiment}.json", deadline=170)
    assert "Verdict:     as predicted" in told.stdout
    assert terminal.type("kubelab fault ls").stdout == "No faults.\n"
    page = terminal.type(f"kubelab chaos report {experiment}.json")
    assert f"{experiment}.html" in page.stdout
