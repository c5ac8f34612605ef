"""``kctl exec``, ``attach``, ``cp`` and ``run -i``: their words, the files that are copied, and the local side."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from kubelab.apimachinery import exitstatus
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.remotecommand import streams, tarring
from kubelab.kctl.remotecommand.filespecs import FileSpec, member_prefix, pair
from kubelab.kctl.session import Failed
from tests.unit.kctl.conftest import Shell

OBJECTS = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: a, image: b}, {name: c, image: b}]}
status: {phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: default}
spec: {nodeName: node-1, containers: [{name: a, image: b}]}
status: {phase: Succeeded}
"""
USAGE = "\nSee 'kctl {} -h' for help and examples"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("exec", "pod, type/name or --filename must be specified"),
        (
            "exec web date",
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead" + USAGE.format("exec"),
        ),
        ("exec web", "you must specify at least one command for the container"),
        ("exec web --", "you must specify at least one command for the container"),
        ("exec done -- date", "cannot exec into a container in a completed pod; current phase is Succeeded"),
        ("attach web -c nope", "container nope not found in pod web"),
        ("attach", "at least 1 argument is required for attach"),
        ("attach a b c", "expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw 3: [a b c]"),
        ("attach done", "cannot attach a container in a completed pod; current phase is Succeeded"),
        ("cp a", "source and destination are required"),
        ("cp a b", "one of src or dest must be a remote file specification"),
        ("cp a:x b:y", "one of src or dest must be a local file specification"),
        ("cp a :b", "filespec must match the canonical format: [[namespace/]pod:]file/path"),
        ("cp n/m/o:a b", "filespec must match the canonical format: [[namespace/]pod:]file/path"),
        ("cp web: b", "filepath can not be empty"),
        ("cp /missing/file web:/tmp", "/missing/file doesn't exist in local filesystem"),
        ("run x --image=b --rm", "--rm should only be used for attached containers" + USAGE.format("run")),
        (
            "run x --image=b -t",
            "-i/--stdin is required for containers with -t/--tty=true" + USAGE.format("run"),
        ),
        (
            "run x --image=b -i --dry-run=client",
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)"
            + USAGE.format("run"),
        ),
    ],
)
def test_words_that_make_no_sense(shell: Shell, words: str, message: str) -> None:
    shell.add(OBJECTS)
    answer = shell(*words.split())
    assert (answer.code, answer.stdout, answer.stderr) == (1, "", f"error: {message}\n")


def test_a_pod_that_is_not_there(shell: Shell) -> None:
    assert shell("exec", "nope", "--", "date").stderr == 'Error from server (NotFound): pods "nope" not found\n'


def test_what_the_words_of_cp_mean() -> None:
    assert pair(("a/b", "pod:/c")) == (FileSpec("a/b"), FileSpec("/c", "pod"))
    assert pair(("ns/pod:c:d", "a")) == (FileSpec("c:d", "pod", "ns"), FileSpec("a"))
    assert [member_prefix(path) for path in ("/a/b/", "a", "./a", "//x/../y")] == ["a/b", "a", "a", "y"]
    with pytest.raises(UsageProblem):
        FileSpec.parse("a/b/c:d")


def test_how_a_command_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert streams.exit_code(exitstatus.exited(0)) == 0
    assert streams.exit_code(exitstatus.exited(3)) == 3
    assert capsys.readouterr().err == "command terminated with exit code 3\n"
    with pytest.raises(Failed, match="error: Internal error occurred: no such program"):
        streams.exit_code(exitstatus.failed("no such program"))


def test_a_folder_is_copied_with_its_modes_and_without_links(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "below" / "empty").mkdir(parents=True)
    (source / "below" / "run").write_text("echo\n")
    (source / "below" / "run").chmod(0o751)
    (source / "link").symlink_to("/etc/passwd")
    buffer = io.BytesIO()
    tarring.pack(source, "there", buffer)
    buffer.seek(0)
    told: list[str] = []
    before = os.umask(0)
    try:
        assert tarring.unpack(buffer, "there", tmp_path / "back", "a hint", told.append) == 1
    finally:
        os.umask(before)
    assert (tmp_path / "back/below/run").read_text() == "echo\n"
    assert stat.S_IMODE((tmp_path / "back/below/run").stat().st_mode) == 0o751
    assert (tmp_path / "back/below/empty").is_dir()
    assert not (tmp_path / "back/link").is_symlink()
    assert told == ['warning: skipping symlink: "there/link" -> "/etc/passwd" (a hint)']


def tar_of(*members: tuple[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def test_a_hostile_tar_writes_nothing_elsewhere(tmp_path: Path) -> None:
    outside, to = tmp_path / "outside", tmp_path / "to"
    outside.mkdir()
    to.mkdir()
    (to / "leads").symlink_to(outside)
    (to / "file").symlink_to(outside / "file")
    told: list[str] = []
    tar = tar_of(("x/leads/a", b"1"), ("x/file", b"2"), ("x/fine", b"3"))
    assert tarring.unpack(tar, "x", to, "", told.append) == 2
    assert list(outside.iterdir()) == []
    assert ((to / "fine").read_bytes(), (to / "file").read_bytes()) == (b"3", b"2")
    assert told == ['warning: file "x/leads/a" is outside target destination, skipping']
    for name in ("x/../../outside/b", "y", "/etc/b"):
        with pytest.raises(Failed, match="tar contents corrupted"):
            tarring.unpack(tar_of((name, b"")), "x", to, "", told.append)
    assert list(outside.iterdir()) == []
