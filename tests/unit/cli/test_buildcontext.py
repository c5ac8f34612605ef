"""The build context: what .dockerignore keeps out stays out, the rest is a tar that any tool reads."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any, cast

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.cli import buildcontext, dockerignore
from kubelab.cli.buildcontext import Archive, tar_chunks
from kubelab.cli.dockerignore import BadIgnorePattern, IgnorePatterns


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
        ("temp?", "temp/", False),
        ("*.md\n!README.md", "README.md", False),
        ("!README.md\n*.md", "README.md", True),
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
        ("docs\n!docs/keep.txt", "docs/keep.txt", False),
        ("docs\n!docs/keep.txt", "docs/other.txt", True),
        ("*\n!src", "src/deep/file", False),
        ("*\n!src\nsrc/deep", "src/deep/file", True),
        ("src/*\n!src/a", "src/a/b", False),
        ("# comment\n\n  ", "# comment", False),
        (" # no comment", "# no comment", True),
        ("/leading", "leading", True),
        ("./dotted/", "dotted", True),
        ("a//b/../c", "a/c", True),
        ("! spaced \nspaced", "spaced", True),
        ("spaced\n! spaced ", "spaced", False),
        ("\ufefffirst", "first", True),
        ("crlf\r\n!other\r\n", "crlf", True),
        ("[a-c].txt", "b.txt", True),
        ("[a-c].txt", "d.txt", False),
        ("[^a-c].txt", "d.txt", True),
        ("[!a].txt", "a.txt", True),
        ("[[]", "[", True),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("**", "any/thing", True),
        ("**/*.js", "a/b/c.js", True),
        ("**/*.js", "c.js", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**", "a/x", True),
        ("a/**", "a", False),
        ("**x", "a/bx", True),
        ("a.c", "abc", False),
        ("^a", "^a", True),
        (".", "a", False),
        ("/", "a", False),
        ("Dockerfile\n.dockerignore", "Dockerfile", True),
        (".dockerignore", ".dockerignore", True),
    ],
)
def test_dockerignore(patterns: str, path: str, out: bool) -> None:
    assert dockerignore.read(patterns, ".dockerignore").excluded(path) is out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n!", '.dockerignore:2: illegal exclusion pattern: "!"'),
        ("[a", ".dockerignore:1: syntax error in pattern: [a"),
        ("a\n\n[]", ".dockerignore:3: syntax error in pattern: []"),
        ("a\\", ".dockerignore:1: syntax error in pattern: a\\"),
        ("[b-", ".dockerignore:1: syntax error in pattern: [b-"),
    ],
)
def test_patterns_that_are_none(text: str, told: str) -> None:
    with pytest.raises(BadIgnorePattern) as caught:
        dockerignore.read(text, ".dockerignore")
    assert str(caught.value) == told


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "/", "*", "**", "?", "!"]), min_size=1, max_size=5).map("".join), max_size=5
    ),
    st.sets(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3).map("/".join)),
)
def test_walking_a_folder_sends_what_the_patterns_leave(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], files: set[str]
) -> None:
    """Folders that are kept out are not walked where nothing below is taken back: that must leave nothing out."""
    try:
        patterns = dockerignore.read("\n".join(lines), "x")
    except BadIgnorePattern:
        return
    folder = tmp_path_factory.mktemp("context")
    for name in files:
        if not any(other.startswith(f"{name}/") for other in files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    every = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    sent = [name for name, _ in buildcontext.entries(folder, patterns)]
    kept = {name for name in every if not patterns.excluded(name)}
    assert set(sent) == kept | {above for name in kept for above in parents(name)}
    assert [name for name in sent if any(above not in sent[: sent.index(name)] for above in parents(name))] == []


def parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def members(context: Path, dockerfile: Path | None = None, size: int = 1024) -> dict[str, bytes | None]:
    chunks = [*tar_chunks(context, buildcontext.patterns_of(context, dockerfile), size)]
    return read_tar(b"".join(chunks))


def read_tar(content: bytes) -> dict[str, bytes | None]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
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
    (tmp_path / os.fsdecode(b"latin-\xe9")).write_text("bytes")
    assert members(tmp_path) == {
        "Dockerfile": b"FROM node\n",
        "app": None,
        "app/app.js": b"x" * 5000,
        "app/empty": b"",
        "app/linked.js": b"x" * 5000,
        "latin-\udce9": b"bytes",
        "link": None,
        "long-" * 30: b"name",
    }


def test_dockerfile_and_dockerignore_can_be_kept_out(tmp_path: Path) -> None:
    """docker/docs#10183"""
    (tmp_path / ".dockerignore").write_text("*\n!app.js\n!sub/kept\n")
    (tmp_path / "sub").mkdir(mode=0o750)
    for name in ("Dockerfile", "app.js", "secret", "sub/kept", "sub/secret"):
        (tmp_path / name).write_text(name)
    assert members(tmp_path).keys() == {"app.js", "sub", "sub/kept"}


def test_a_dockerfiles_own_dockerignore_goes_before_the_contexts(tmp_path: Path) -> None:
    for name in ("a", "b", "Dockerfile", "other.Dockerfile"):
        (tmp_path / name).write_text(name)
    (tmp_path / ".dockerignore").write_text("**\n!a")
    (tmp_path / "other.Dockerfile.dockerignore").write_text("**\n!b")
    assert members(tmp_path, tmp_path / "Dockerfile").keys() == {"a"}
    assert members(tmp_path, tmp_path / "other.Dockerfile").keys() == {"b"}


def test_a_context_that_is_too_large_names_what_is_big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buildcontext, "MAX_BYTES", 1000)
    for name, size in {"data/dump": 900, "node_modules/x/a": 300, "node_modules/x/b": 300, "app.js": 10}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    with pytest.raises(click.ClickException) as caught:
        buildcontext.measure(tmp_path, IgnorePatterns(()))
    assert (
        "has 1.51kB, and 1kB are possible; the largest: data/dump (900B), node_modules/x (600B)" in caught.value.message
    )
    with pytest.raises(click.ClickException):
        buildcontext.measure(tmp_path, dockerignore.read("!data", "x"))
    assert buildcontext.measure(tmp_path, dockerignore.read("data", "x")).bytes == 610


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("x")
    chunks = tar_chunks(tmp_path, IgnorePatterns(()), 1024)
    next(chunks)
    (tmp_path / "other").write_text("y")

    def drain() -> None:
        (tmp_path / "gone").write_text("")
        for _ in chunks:
            pass

    with pytest.raises(click.ClickException, match="gone"):
        drain()


@pytest.mark.parametrize("compression", ["", "gz", "xz"])
def test_an_archive_as_context(compression: str) -> None:
    buffer, mode = io.BytesIO(), cast(Any, f"w:{compression}")
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in {"./Dockerfile": b"FROM x", "./a": b"1", "sub/b": b"2"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert buildcontext.is_archive(buffer.getvalue()[:512])
    archive = Archive(buffer)
    assert (archive.read("Dockerfile"), archive.read("no")) == ("FROM x", None)
    assert b"".join(archive.chunks(None, 100)) == buffer.getvalue()
    left = b"".join(archive.chunks(dockerignore.read("Dockerfile\nsub", "x"), 100))
    assert read_tar(left) == {"./a": b"1"}


@pytest.mark.parametrize("content", [b"", b"FROM x\nRUN y\n", b"x" * 512])
def test_what_is_no_archive(content: bytes) -> None:
    assert not buildcontext.is_archive(content[:512])
