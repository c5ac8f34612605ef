"""Manifests that are made to harm: each ends in a short error that names the file, soon, and in little memory."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kubelab.apimachinery.manifest import read
from tests.unit.kctl.conftest import Shell

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
LAUGHS = "".join(f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * 10)}]\n" for i in range(1, 12))
LONG = "x" * 1_000_000
ENOUGH_MEMORY = 1 << 30  # bytes of address space, the interpreter and its libraries included
TOO_DEEP = "nested too deeply|maximum nesting depth"


def _json(**fields: object) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **fields}).encode()


# What the file holds, and what its error must say besides the file's name.
HOSTILE: dict[str, tuple[bytes, str]] = {
    "a billion laughs": (f"{HEAD}x0: &x0 [a,a,a,a]\n{LAUGHS}".encode(), f"line 4: .*{TOO_DEEP}"),
    "an alias of itself": (b"a: &a [*a]\n", f"line 1: .*{TOO_DEEP}"),
    "a merge of itself": (b"a: &a\n  <<: *a\n", f"line 1: .*{TOO_DEEP}"),
    "brackets": (b"[" * 100_000, f"line 1: .*(?:{TOO_DEEP})"),
    "braces of JSON": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, f"line 1: .*(?:{TOO_DEEP})"),
    "dashes": (b"- " * 100_000, f"line 1: .*(?:{TOO_DEEP})"),
    "lists in lists": (b"{apiVersion: v1, kind: List, items: [" * 150 + b"]}" * 150, f"line 1: .*(?:{TOO_DEEP})"),
    "a long line that is torn": (f"{HEAD}data: [a: {LONG}\n".encode(), "line 5: did not find"),
    "a long line that never ends": (f'{HEAD}data: {{a: "{LONG * 5}'.encode(), "line 4: found unexpected end"),
    "a long value": (_json(metadata=LONG), ":1: metadata: Invalid value: "),
    "a long field": (f"{HEAD}? {LONG}\n: 1\n".encode(), "line 4: map key is longer than 1024"),
    "a long kind": (f"apiVersion: v1\nkind: {LONG}\n".encode(), "no matches for kind .*:2"),
    "a lone surrogate": (b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"\\ud800"}}', "line 1: .*Unicode"),
    "a surrogate in UTF-8": (b"a: b\nc: \xed\xa0\x80\n", "line 2: not UTF-8 text"),
    "NUL": (f"{HEAD}data: {{a: \0}}\n".encode(), r"line 4: character U\+0000"),
    "an escape sequence": (f'{HEAD}data: {{a: "\x1b[2J"}}\n'.encode(), r"line 4: character U\+001B"),
    "a key twice": (f"{HEAD}kind: Pod\n".encode(), r'line 4: key "kind" already set in map \(line 2\)'),
    "a key very often": ((HEAD + "a: b\n" * 10_000).encode(), "too many errors"),
    "tabs": (b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: a\n", "line 4: found character that cannot"),
    "UTF-16": (HEAD.encode("utf-16"), "line 1: not UTF-8 text; it is UTF-16"),
    "UTF-32": (HEAD.encode("utf-32"), "line 1: not UTF-8 text"),
    "UTF-16 without a mark": (HEAD.encode("utf-16-be"), r"line 1: character U\+0000"),
    "empty documents": (b"---\n" * 1_000_000, "line 50001: more than 50000 documents"),
    "documents of JSON": (b"{}\n" * 1_000_000, "more than 50000 documents in one text: line 50001"),
    "documents that are none": (b"---\na: 1\n" * 1_000_000, "more than 50000 documents"),
    "items that are none": (b"apiVersion: v1\nkind: List\nitems: [" + b"{}," * 20_000 + b"]\n", "too many errors"),
    "fields that are none": ((HEAD + "".join(f"k{i}: v\n" for i in range(10_000))).encode(), "too many errors"),
    "a long number": (f"{HEAD}immutable: 0x{'f' * 100_000}\n".encode(), ":4: immutable: Invalid value: "),
    "an endless number": (f"{HEAD}data: {{a: 1e999999999}}\n".encode(), 'write "1e999999999" in quotes'),
    "a tag of Python's": (f"{HEAD}data: {{a: !!python/object/apply:os.system [id]}}\n".encode(), ":4: data.a: Invalid"),
    "a directive": (b"%YAML 9.9\n---\na: b\n", "line 1: "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_words(name: str, shell: Shell, tmp_path: Path) -> None:
    data, told = HOSTILE[name]
    file = tmp_path / "f.yaml"
    file.write_bytes(data)
    outcome = shell("create", "--dry-run=client", "-f", str(file))
    assert (outcome.code, outcome.stdout) == (1, "")
    assert str(file) in outcome.stderr
    assert re.search(told, outcome.stderr), outcome.stderr[:500]
    assert "bug" not in outcome.stderr
    assert len(outcome.stderr) < 50_000
    assert all(character.isprintable() or character == "\n" for character in outcome.stderr)


def test_a_mark_at_the_begin_is_no_part_of_the_text(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert shell("create", "--dry-run=client", "-o", "name", "-f", str(tmp_path / "f.yaml")).stdout == "configmap/a\n"


def test_a_long_line_is_none_the_worse_for_it(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(f"{HEAD}data: {{a: {LONG * 10}}}\n")
    assert shell("create", "--dry-run=client", "-o", "name", "-f", str(tmp_path / "f.yaml")).stdout == "configmap/a\n"


def test_a_folder_without_manifests(shell: Shell, tmp_path: Path) -> None:
    outcome = shell("create", "-f", str(tmp_path))
    told = f"error: error reading [{tmp_path}]: recognized file extensions are [.json .yaml .yml]\n"
    assert (outcome.code, outcome.stderr) == (1, told)


def test_a_pipe_that_nobody_writes_to(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "PIPE_SECONDS", 0.05)
    os.mkfifo(tmp_path / "f.yaml")
    outcome = shell("create", "-f", str(tmp_path / "f.yaml"))
    told = f'error: the path "{tmp_path}/f.yaml" is a pipe that nothing was written to for 0s\n'
    assert (outcome.code, outcome.stderr) == (1, told)


def test_a_pipe_of_the_shell(shell: Shell) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as out:
        out.write(HEAD)
        out.close()
        assert shell("create", "--dry-run=client", "-o", "name", "-f", f"/dev/fd/{reading}").stdout == "configmap/a\n"


def test_a_file_without_end(shell: Shell) -> None:
    outcome = shell("create", "-f", "/dev/zero")
    told = f'error: the path "/dev/zero" cannot be read: it is larger than {read.MAX_BYTES} bytes\n'
    assert (outcome.code, outcome.stderr) == (1, told)


@pytest.mark.parametrize("name", ["a billion laughs", "braces of JSON", "documents that are none", "a key very often"])
def test_it_needs_little_memory(name: str, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(HOSTILE[name][0])
    argv = [sys.executable, "-m", "kubelab.kctl", "create", "--dry-run=client", "-f", str(file)]
    done = subprocess.run(
        argv,
        capture_output=True,
        check=False,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ENOUGH_MEMORY, ENOUGH_MEMORY)),
    )
    assert done.returncode == 1
    assert re.search(HOSTILE[name][1], done.stderr), done.stderr[:500]
