"""Manifests that are made to hurt: each ends in an error that names the file, and the line where there is one."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from kubelab.apimachinery.manifest import read
from kubelab.apimachinery.manifest.diagnostics import ManifestError, NoManifest
from kubelab.apimachinery.manifest.read import read_all

HEAD = "apiVersion: v1\nkind: ConfigMap\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP = "document is nested too deeply or too large|exceeded maximum nesting depth"  # the second is libyaml's
LONG = "x" * 10_000_000

REFUSED: dict[str, tuple[str | bytes, int, str]] = {  # the file, the problem's line (0: none), what is told
    "nested brackets": (HEAD + "data: " + "[" * 100_000, 3, DEEP),
    "nested dashes": ("- " * 100_000, 1, DEEP),
    "nested question marks": ("? " * 100_000, 1, DEEP),
    "nested braces": ('{"a":' * 100_000, 1, DEEP),
    "an alias bomb": (BOMB, 1, DEEP),
    "an alias of itself": (HEAD + "metadata: &m {labels: *m}\n", 3, DEEP),
    "a NUL byte": (HEAD + "data: {a: \x00}\n", 3, r"character U\+0000 is not allowed"),
    "a control character": (HEAD + "data: {a: '\x1b[2J'}\n", 3, r"character U\+001B is not allowed"),
    "a NUL byte in JSON": ('{"apiVersion": "v1",\n"kind": "\x00"}', 2, r"character U\+0000 is not allowed"),
    "a lone surrogate": (HEAD + 'data: {a: "\\ud800"}\n', 3, "invalid Unicode character escape code"),
    "a lone surrogate in JSON": (
        '{"apiVersion": "v1",\n"kind": "\\udfff"}',
        2,
        "invalid Unicode character escape code",
    ),
    "a lone surrogate in bytes": (HEAD.encode() + b"data: {a: \xed\xa0\x80}\n", 3, "not UTF-8 text"),
    "Latin-1": (HEAD.encode() + b"data: {a: \xfc}\n", 3, "not UTF-8 text"),
    "UTF-16": (HEAD.encode("utf-16"), 1, "it is UTF-16, save it as UTF-8"),
    "a tab": (HEAD + "data:\n\ta: b\n", 4, "cannot start any token"),
    "a key twice": (HEAD + "data: {a: b, a: c}\n", 3, r'key "a" already set in map \(line 3\)'),
    "a key twice in JSON": ('{"apiVersion": "v1",\n"kind": "x",\n"kind": "y"}', 3, 'key "kind" already set in map'),
    "a key that is a list": (HEAD + "? [a]\n: b\n", 3, "invalid map key"),
    "a key of megabytes": (HEAD + f"? {LONG}\n: b\n", 3, "map key is longer than 1024 characters"),
    "a key of megabytes in quotes": (HEAD + f'"{LONG}": b\n', 3, "could not find expected ':'|map key is longer"),
    "a kind of megabytes": (f"apiVersion: v1\nkind: {LONG}\n", 2, r'no matches for kind "x+\.\.\."'),
    "a name of megabytes": (HEAD + f"metadata: {LONG}\n", 3, "expected an object"),
    "a number of megabytes": (HEAD + f"metadata: {{name: a}}\nimmutable: {'1' * 10_000_000}\n", 4, "true or false"),
    "a hex number of megabytes": (HEAD + f"immutable: 0x{'f' * 100_000}\n", 3, "true or false"),
    "a line of megabytes": (f"'{LONG}", 1, "found unexpected end of stream"),
    "a tag of Python": ("!!python/object/apply:os.system [x]", 1, "expected an object"),
    "an alias of nothing": (HEAD + "data: *missing\n", 3, "found undefined alias"),
    "a version of YAML": ("%YAML 9.9\n---\na", 1, "found incompatible YAML document"),
    "an open quote": (HEAD + "data: 'open\n", 4, "found unexpected end of stream"),
    "an executable": (b"\x7fELF\x02\x01\x01" + bytes(1000) + b"\xff" * 10, 1, "not UTF-8 text|is not allowed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_file_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    content, line, told = REFUSED[case]
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ManifestError, match=told) as refused:
        read_all([str(path)])
    assert (refused.value.diagnostics[0].source, refused.value.diagnostics[0].line) == (str(path), line)
    text = str(refused.value)
    assert str(path) in text
    assert f"{path}:{line}" in text or re.search(rf"line {line}\b", text)
    assert len(text) < 2000, "megabytes are not repeated"


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + HEAD.encode() + b"metadata: {name: a}\n")
    (tmp_path / "b.json").write_bytes(
        b'\xef\xbb\xbf{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}'
    )
    assert [d.name for d in read_all([str(tmp_path)])] == ["a", "b"]


def test_very_many_documents(tmp_path: Path) -> None:
    """One after the other, and no work for each that grows with the file."""
    (tmp_path / "a.yaml").write_text("---\n" * 20_000 + (HEAD + "---\n") * 2_000)
    (tmp_path / "b.json").write_text('{"apiVersion": "v1",\n "kind": "ConfigMap"}\n' * 2_000)
    documents = read_all([str(tmp_path)])
    assert len(documents) == 4_000
    assert documents[-1].line == 3_999


def test_a_file_without_an_end_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_BYTES", 1_000_000)
    with pytest.raises(NoManifest, match='the path "/dev/zero" cannot be read: it is larger than 1000000 bytes'):
        read_all(["/dev/zero"])
    with pytest.raises(NoManifest, match='the path "STDIN" cannot be read: it is larger'):
        read_all(["-"], stdin=lambda: bytes(1_000_001))


def test_pipes_folders_and_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "PIPE_SECONDS", 0.05)
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(NoManifest, match=r'the path ".*pipe.yaml" is a pipe that nothing was written to'):
        read_all([str(pipe)])
    with pytest.raises(NoManifest, match="recognized file extensions are"):
        read_all([str(tmp_path)])  # in a folder pipes are passed over
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(NoManifest, match=r'the path ".*s" cannot be accessed: No such device or address'):
            read_all([str(tmp_path / "s")])


def test_what_a_shell_substitutes_is_read() -> None:
    """``-f <(command)`` is a pipe by its descriptor."""
    source, sink = os.pipe()
    try:
        os.write(sink, HEAD.encode() + b"metadata: {name: piped}\n")
    finally:
        os.close(sink)
    try:
        (document,) = read_all([f"/dev/fd/{source}"])
    finally:
        os.close(source)
    assert document.name == "piped"
