"""The command line itself: help, unknown words, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.cli.__main__ import COMMANDS, main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["nonsense"], 'unknown command "nonsense" for "kubelab"'),
        (["status", "--nonsense"], "No such option"),
        (["status", "-o", "xml"], "'xml' is not one of"),
        (["up", "--nodes", "many"], "'many' is not a valid integer"),
        (["status", "--name", "No Such"], "cannot name a cluster"),
        (["status", "--name", "none"], 'cluster "none" not found'),
    ],
)
def test_what_makes_no_sense_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    argv: list[str],
    told: str,
) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path_factory.mktemp("home")))
    code, _, err = run(capsys, *argv)
    assert code == 1
    assert told in err
    assert "Traceback" not in err


def test_down_of_what_is_not_there_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path_factory.mktemp("home")))
    code, out, _ = run(capsys, "down", "--name", "none")
    assert code == 0
    assert 'no cluster "none"' in out


def test_what_is_refused_leaves_no_home(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    code, _, err = run(capsys, "up", "--name", "none")
    assert code == 1
    assert f"{tmp_path}: " in err
    assert not (tmp_path / "home").exists()
