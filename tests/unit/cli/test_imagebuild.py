"""`kubelab image build`: what is refused before anything is sent, and what a terminal is shown."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest

from kubelab.cli import imagebuild
from kubelab.cli.__main__ import main
from kubelab.cli.imagebuild import decode, pairs, plain, read_secret


def build(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """What is said about a build that does not begin."""
    with pytest.raises(SystemExit) as ended:
        main(["image", "build", *map(str, argv)])
    assert ended.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "argv", "told"),
    [
        ({}, ["no-such-folder"], "unable to prepare context: path 'no-such-folder' not found"),
        ({}, ["."], "failed to read Dockerfile: Dockerfile: No such file or directory"),
        ({"Dockerfile": b"FROM x\nRUN \xff"}, ["."], "failed to read Dockerfile: Dockerfile:2: not UTF-8 text"),
        ({"Dockerfile": b"x" * 2_000_000}, ["."], "failed to read Dockerfile: Dockerfile: larger than 1048576 bytes"),
        ({"Dockerfile": b"", ".dockerignore": b"a\n[\n"}, ["."], ".dockerignore:2: syntax error in pattern: ["),
        ({"Dockerfile": b""}, ["--build-arg", "=x", "."], "--build-arg: expected NAME=VALUE, got '=x'"),
        ({"Dockerfile": b""}, ["--base", "x", "."], "--base: expected NAME=VALUE, got 'x'"),
        ({"Dockerfile": b""}, ["--network", "x", "."], "'x' is not one of 'default', 'none', 'host'"),
        ({"Dockerfile": b""}, ["--secret", "id=x,src=no", "."], "--secret: no: No such file or directory"),
        ({}, ["-f", "-", "-"], "can't use stdin for both build context and dockerfile"),
    ],
)
def test_what_is_refused_before_a_cluster_is_asked(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    files: dict[str, bytes],
    argv: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path / "home"))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    err = build(capsys, "-p", "none", *argv)
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("given", "argv", "told"),
    [
        (b"FROM x\n", ["-f", "Dockerfile", "-"], "-f: a Dockerfile from the standard input comes without files"),
        (b"\x1f\x8bnonsense", ["-"], "the standard input is no tar archive"),
        (b"FROM x\n\xff", ["-"], "Dockerfile:2: not UTF-8 text"),
        (b"\xff", ["-f", "-", "."], "Dockerfile:1: not UTF-8 text"),
        (b"FROM x\n", ["-"], 'cluster "none" not found'),
        (b"FROM x\n", ["-f", "-", "."], 'cluster "none" not found'),
    ],
)
def test_the_standard_input(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    given: bytes,
    argv: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert told in build(capsys, "-p", "none", *argv)


def test_comments_may_have_any_bytes() -> None:
    assert decode(b"# caf\xe9\nFROM x", "Dockerfile") == "# caf\ufffd\nFROM x"


def test_values_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KL_SET", "of-env")
    monkeypatch.delenv("KL_UNSET", raising=False)
    told = ("A=1=2", "KL_SET", "KL_UNSET", "EMPTY=")
    assert pairs("--build-arg", told, from_environment=True) == {"A": "1=2", "KL_SET": "of-env", "EMPTY": ""}


def test_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KL_KEY", "of-env")
    texts = ["id=a,src=key", "id=b,env=KL_KEY", "id=key", "id=KL_KEY", "type=file,id=c,source=key"]
    assert [read_secret(text) for text in texts] == [
        ("a", b"\xff"),
        ("b", b"of-env"),
        ("key", b"\xff"),
        ("KL_KEY", b"of-env"),
        ("c", b"\xff"),
    ]
    for text in ("src=key", "id=a,x=y", "id=a,env=KL_NONE", "id=none"):
        with pytest.raises(click.ClickException):
            read_secret(text)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain\ttext é", "plain\ttext é"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", "^[]0;title^G"),
        ("\x1b[2J\x1b[1;1H", "^[[2J^[[1;1H"),
        ("10%\r50%\r100%\r", "100%"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_a_step_prints_does_nothing_to_a_terminal(line: str, shown: str) -> None:
    assert plain(line) == shown


def test_a_small_dockerfile_is_taken_where_there_is_no_other(tmp_path: Path) -> None:
    (tmp_path / "dockerfile").touch()
    assert imagebuild.default_dockerfile(tmp_path).name == "dockerfile"
    (tmp_path / "Dockerfile").touch()
    assert imagebuild.default_dockerfile(tmp_path).name == "Dockerfile"
