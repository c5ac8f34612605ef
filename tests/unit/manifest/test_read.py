"""Where manifests come from."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kubelab.apimachinery.manifest.diagnostics import ManifestError, NoManifest
from kubelab.apimachinery.manifest.read import read_all

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"


def write(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NAMESPACE.format(name=name))


def test_folders_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "d.txt", "deep/e.yml"):
        write(tmp_path / name, name[0])
    assert [d.name for d in read_all([str(tmp_path)])] == ["a", "b", "c"]
    assert [d.name for d in read_all([str(tmp_path)], recursive=True)] == ["a", "b", "c", "d"]
    assert [d.name for d in read_all([str(tmp_path / "d.txt"), str(tmp_path / "a.yaml")])] == ["d", "a"]


def test_standard_input() -> None:
    (document,) = read_all(["-"], stdin=NAMESPACE.format(name="in").encode)
    assert (document.name, document.source) == ("in", "STDIN")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing.yml", 'the path ".*nothing.yml" does not exist'),
        ("empty", r"error reading \[.*empty\]: recognized file extensions are \[.json .yaml .yml\]"),
        ("a\0b", "cannot be accessed|does not exist"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoManifest, match=told):
        read_all([str(tmp_path / name)])


def test_all_files_are_read_before_any_problem_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"apiVersion: v1\nkind: \xff\n")
    (tmp_path / "b.yml").write_text("kind: Pod\n")
    with pytest.raises(ManifestError) as refused:
        read_all([str(tmp_path)])
    assert [(Path(p.source).name, p.line) for p in refused.value.diagnostics] == [("a.yml", 2), ("b.yml", 1)]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/ns.yml"
        body = NAMESPACE.format(name="web").encode() if found else b"no"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextlib.contextmanager
def web_server() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_addresses() -> None:
    with web_server() as url:
        (document,) = read_all([f"{url}/ns.yml"])
        assert (document.name, document.source) == ("web", f"{url}/ns.yml")
        with pytest.raises(NoManifest, match=r'unable to read URL ".*/none", server reported 404 Not Found'):
            read_all([f"{url}/none"])
    with pytest.raises(NoManifest, match=r"unable to read URL .*refused"):
        read_all([f"{url}/ns.yml"])


def test_a_pattern_is_expanded_where_no_shell_has_done_it(tmp_path: Path) -> None:
    """kubernetes#12123: ``-f 'dir/*.yaml'``."""
    for name in ("b.yaml", "a.yaml", "c.txt"):
        (tmp_path / name).write_text(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name[0]}}}\n")
    assert [d.name for d in read_all([f"{tmp_path}/*.yaml"])] == ["a", "b"]
    assert [d.name for d in read_all([f"{tmp_path}/[bc].*"])] == ["b", "c"]
    with pytest.raises(NoManifest, match=r'the path ".*/\*\.yml" does not exist'):
        read_all([f"{tmp_path}/*.yml"])
    (tmp_path / "[x].yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: brackets}\n")
    assert [d.name for d in read_all([f"{tmp_path}/[x].yaml"])] == ["brackets"], "a file of that very name comes first"
