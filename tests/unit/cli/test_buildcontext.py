"""The build context: what .dockerignore excludes stays out, the rest is a tar that any tool reads."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import click
import pytest

from kubelab.cli.buildcontext import ignored, read_patterns, tar_chunks


@pytest.mark.parametrize(
    ("patterns", "path", "out"),
    [
        ("node_modules", "node_modules", True),
        ("node_modules", "node_modules/a/b.js", True),
        ("node_modules", "sub/node_modules", False),
        ("**/node_modules", "sub/deep/node_modules/x", True),
        ("**/node_modules", "node_modules", True),
        ("*.md", "README.md", True),
        ("*.md", "docs/README.md", False),
        ("*/temp*", "a/temporary", True),
        ("*/*/temp*", "a/temp", False),
        ("temp?", "temp1", True),
        ("temp?", "temp", False),
        ("*.md\n!README.md", "README.md", False),
        ("!README.md\n*.md", "README.md", True),
        ("docs\n!docs/keep.txt", "docs/keep.txt", False),
        ("# comment\n\n  ", "comment", False),
        ("/leading", "leading", True),
        ("./dotted/", "dotted", True),
        ("[a-c].txt", "b.txt", True),
        ("[a-c].txt", "d.txt", False),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("**", "any/thing", True),
        ("a.c", "abc", False),
    ],
)
def test_dockerignore(patterns: str, path: str, out: bool) -> None:
    assert ignored(path, read_patterns(patterns)) is out


def members(context: Path, dockerfile: Path | None = None, size: int = 1024) -> dict[str, bytes | None]:
    chunks = [*tar_chunks(context, dockerfile or context / "Dockerfile", size)]
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        read = {info: archive.extractfile(info) for info in archive.getmembers()}
        assert {(info.uid, info.gid, info.uname) for info in read} <= {(0, 0, "")}
        return {info.name: file.read() if file else None for info, file in read.items()}


def test_the_context_is_a_tar(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM node\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.js").write_bytes(b"x" * 5000)
    (tmp_path / "app" / "empty").touch()
    os.link(tmp_path / "app" / "app.js", tmp_path / "app" / "linked.js")
    (tmp_path / "link").symlink_to("app")
    (tmp_path / ("long-" * 30)).write_text("name")
    os.mkfifo(tmp_path / "fifo")
    assert members(tmp_path) == {
        "Dockerfile": b"FROM node\n",
        "app": None,
        "app/app.js": b"x" * 5000,
        "app/empty": b"",
        "app/linked.js": b"x" * 5000,
        "link": None,
        "long-" * 30: b"name",
    }


def test_the_dockerfile_is_sent_even_when_ignored(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n!app.js\n")
    for name in ("Dockerfile", "app.js", "secret"):
        (tmp_path / name).write_text(name)
    assert members(tmp_path).keys() == {".dockerignore", "Dockerfile", "app.js"}


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("x")
    chunks = tar_chunks(tmp_path, tmp_path / "Dockerfile", 1024)
    next(chunks)
    (tmp_path / "other").write_text("y")

    def drain() -> None:
        (tmp_path / "gone").write_text("")
        for _ in chunks:
            pass

    with pytest.raises(click.ClickException, match="gone"):
        drain()
