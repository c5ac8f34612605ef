"""``kctl edit`` with editors that are programs: what they see, and what becomes of what they write."""

from __future__ import annotations

import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kubelab.apimachinery import errors, scheme
from kubelab.kctl.edit import editor
from tests.unit.kctl.conftest import Outcome, Shell

Edit = Callable[..., Outcome]
SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {x: one}
"""


class Typist:
    """An editor that makes one change after another, a round each, and keeps what it was shown."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        (folder / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        self.program = folder / "typist"
        self.program.write_text(
            f"#!{sys.executable}\n"
            "import pathlib, sys\n"
            f"folder = pathlib.Path({str(folder)!r})\n"
            "file = pathlib.Path(sys.argv[-1])\n"
            "number = len(list(folder.glob('seen-*')))\n"
            "(folder / f'seen-{number}').write_text(file.read_text())\n"
            "before, _, after = (folder / f'change-{number}').read_text().partition('=>')\n"
            "assert before in file.read_text(), file.read_text()\n"
            "file.write_text(file.read_text().replace(before, after) if before else after)\n"
        )
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)

    def will(self, *changes: str) -> None:
        for number, change in enumerate(changes):
            (self._folder / f"change-{number}").write_text(change)

    @property
    def seen(self) -> list[str]:
        return [path.read_text() for path in sorted(self._folder.glob("seen-*"))]

    @property
    def left(self) -> list[Path]:
        return list((self._folder / "temporary").iterdir())


@pytest.fixture
def typist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typist:
    folder = tmp_path / "typist-of"
    folder.mkdir()
    return Typist(folder, monkeypatch)


@pytest.fixture
def edit(shell: Shell, typist: Typist) -> Edit:
    shell.stdin = SETTINGS.encode()
    assert shell("create", "-f", "-").code == 0
    shell.environ = {"KUBE_EDITOR": str(typist.program), "EDITOR": "/nonexistent"}

    def run(*line: str) -> Outcome:
        return shell("edit", *line)

    return run


def data(shell: Shell) -> dict[str, str]:
    stored = shell.server.get(scheme.CONFIG_MAPS, "default/a")
    assert stored is not None
    return dict(stored.data)


def test_an_object_is_edited(shell: Shell, typist: Typist, edit: Edit) -> None:
    typist.will("x: one=>x: two")
    edited = edit("cm", "a")
    assert (edited.code, edited.stdout, edited.stderr) == (0, "configmap/a edited\n", "")
    assert data(shell) == {"x": "two"}
    assert typist.seen[0].startswith(
        "# Please edit the object below. Lines beginning with a '#' will be ignored,\n"
        "# and an empty file will abort the edit. If an error occurs while saving this file will be\n"
        "# reopened with the relevant failures.\n#\napiVersion: v1\ndata:\n  x: one\nkind: ConfigMap\n"
    )
    assert "managedFields" not in typist.seen[0]
    assert not typist.left


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("=># only a comment\n", "Edit cancelled, saved file was empty.\n"),
        ("# Please=># please", "Edit cancelled, no changes made.\n"),
        ("data:=>data:  # a comment", "Edit cancelled, no changes made.\n"),
    ],
)
def test_cancelled(shell: Shell, typist: Typist, edit: Edit, change: str, told: str) -> None:
    typist.will(change)
    cancelled = edit("cm/a")
    assert (cancelled.code, cancelled.stdout, cancelled.stderr) == (0, "", told)
    assert (data(shell), typist.left) == ({"x": "one"}, [])


def test_the_file_is_opened_again_with_what_is_wrong(shell: Shell, typist: Typist, edit: Edit) -> None:
    typist.will("data:\n  x: one=>data:\n  a/b: one", "a/b: one=>x: [", "x: [=>x: three")
    edited = edit("cm/a")
    assert (edited.code, edited.stdout) == (0, "configmap/a edited\n")
    assert edited.stderr == 'error: configmaps "a" is invalid\n'
    assert '# configmaps "a" was not valid:\n# * data[a/b]: Invalid value: "a/b": ' in typist.seen[1]
    assert "# The edited file had a syntax error: " in typist.seen[2]
    assert (data(shell), typist.left) == ({"x": "three"}, [])


def test_giving_up_keeps_the_text(shell: Shell, typist: Typist, edit: Edit) -> None:
    typist.will("data:\n  x: one=>data:\n  a/b: one", "apiVersion=>apiVersion")
    refused = edit("cm/a")
    [left] = typist.left
    assert refused.code == 1
    assert refused.stderr == (
        f'error: configmaps "a" is invalid\nA copy of your changes has been stored to "{left}"\n'
        "error: Edit cancelled, no valid changes were saved.\n"
    )
    assert "a/b: one" in left.read_text()


def test_a_refusal_names_the_file(shell: Shell, typist: Typist, edit: Edit) -> None:
    typist.will("x: one=>x: two")
    shell.server.fail(errors.forbidden("configmaps", "a", "no"), verb="patch")
    refused = edit("cm/a")
    [left] = typist.left
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr == (
        'error: configmaps "a" could not be patched: configmaps "a" is forbidden: no\n'
        f"You can run `kctl replace -f {left}` to try this update again.\n"
    )


def test_another_name_is_refused(shell: Shell, typist: Typist, edit: Edit) -> None:
    typist.will("  name: a\n=>  name: b\n")
    refused = edit("cm/a")
    assert refused.code == 1
    assert refused.stderr.endswith("error: At least one of apiVersion, kind and name was changed\n")
    assert len(typist.left) == 1


def test_a_line_of_a_text_may_look_like_a_comment(shell: Shell, typist: Typist, edit: Edit) -> None:
    typist.will("x: one=>x: |\n    #!/bin/sh\n    # says hello\n    echo hello")
    assert edit("cm/a").stdout == "configmap/a edited\n"
    assert data(shell) == {"x": "#!/bin/sh\n# says hello\necho hello\n"}


def test_several_objects_and_the_patch(shell: Shell, typist: Typist, edit: Edit) -> None:
    shell.stdin = SETTINGS.replace("name: a", "name: b").encode()
    shell("create", "-f", "-")
    typist.will("x: one\n  kind: ConfigMap\n  metadata:\n=>x: two\n  kind: ConfigMap\n  metadata:\n")
    edited = edit("cm", "a", "b", "--output-patch")
    assert edited.stdout == (
        'Patch: {"data":{"x":"two"}}\nconfigmap/a edited\nPatch: {"data":{"x":"two"}}\nconfigmap/b edited\n'
    )


def test_in_json_with_the_configuration_saved(shell: Shell, typist: Typist, edit: Edit) -> None:
    typist.will('"x": "one"=>"x": "two"')
    assert edit("cm", "a", "-o", "json", "--save-config").stdout == "configmap/a edited\n"
    stored = shell.server.get(scheme.CONFIG_MAPS, "default/a")
    assert stored is not None
    assert '"x":"two"' in stored.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]


def test_an_editor_that_fails(shell: Shell, typist: Typist, edit: Edit) -> None:
    shell.environ = {"EDITOR": "false"}
    assert edit("cm/a").stderr == 'error: there was a problem with the editor "false"\n'
    shell.environ = {"EDITOR": "/nonexistent/editor"}
    assert edit("cm/a").stderr == 'error: unable to launch the editor "/nonexistent/editor"\n'
    assert not typist.left
    assert edit("cm/nope").stderr == 'Error from server (NotFound): configmaps "nope" not found\n'


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ["vi", "f"]),
        ({"EDITOR": "nano"}, ["nano", "f"]),
        ({"EDITOR": "nano", "KUBE_EDITOR": "code --wait"}, ["code", "--wait", "f"]),
        ({"EDITOR": "'my editor' -w"}, ["/bin/bash", "-c", "'my editor' -w \"f\""]),
    ],
)
def test_which_editor(environ: dict[str, str], words: list[str]) -> None:
    assert editor.command(environ, "f") == words
